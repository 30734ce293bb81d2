//! The records that a mission links, read from the log of its user and folded as a device does.
//!
//! The number of statements does not depend on the number of links: one reads the clocks of all records, one more per
//! round opens the values that won, of all records at once. A time block is named by its event's fold, not by the link.
//! So the blocks of all events are read after the events, by the same statements once more. One statement for both would
//! have to fold events in SQL.
//!
//! What is sent is bounded before it is sent: a text is cut, and a larger list or object makes its record [`Found::TooLarge`].

mod reading;
mod statements;

use reading::Reading;

use crate::domain::fold::text_of;
use crate::inputs::linked::{Found, Read};
use crate::inputs::links::{Link, Links};
use crate::inputs::modules::{TIME_BLOCKS, Table};
use crate::store::room::Room;
use crate::store::{StoreError, TRANSACTION, UserTx, with_timeout};

/// Reads the records that these links lead to, each with its time block; one for each link, in their order. `room` is the
/// mission's, and grows.
///
/// # Errors
/// [`StoreError::NoRoom`], and whatever the database answers. What makes a record unreadable is told in its place.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn read_linked(tx: &mut UserTx, links: &Links, room: &mut Room) -> Result<Vec<Read>, StoreError> {
    let keys = links.links.iter().map(|link| Some(Key { table: &link.module()?.table, id: link.id.clone() }));
    let records = read_records(tx, keys.collect(), room).await?;
    let block = |(link, record): (&Link, &Found)| match record {
        Found::Record(record) => {
            let id = text_of(&record.fields, link.module()?.time_block_field()?)?;
            (!id.is_empty()).then_some(Key { table: &TIME_BLOCKS, id })
        }
        _ => None,
    };
    let keys = links.links.iter().zip(&records).map(block).collect();
    let time_blocks = read_records(tx, keys, room).await?;
    let read = records.into_iter().zip(time_blocks);
    Ok(read.map(|(record, time_block)| Read { record, time_block }).collect())
}

/// The same, and waits in the transaction until there is room: for readers that hold no other room, and no lock.
///
/// # Errors
/// Whatever the database answers.
pub async fn wait_and_read_linked(tx: &mut UserTx, links: &Links) -> Result<Vec<Read>, StoreError> {
    // The waiting too: it holds a connection.
    with_timeout(TRANSACTION, async {
        loop {
            let mut room = tx.room();
            match read_linked(tx, links, &mut room).await {
                Err(StoreError::NoRoom(bytes)) => {
                    drop(room);
                    tx.room().wait(bytes).await;
                }
                read => return read,
            }
        }
    })
    .await
}

/// Where a record is.
struct Key {
    table: &'static Table,
    id: String,
}

/// Reads these records; nothing where there is no key.
async fn read_records(
    tx: &mut UserTx,
    keys: Vec<Option<Key>>,
    room: &mut Room,
) -> Result<Vec<Found>, StoreError> {
    let mut found: Vec<Found> = keys.iter().map(|_| Found::Nothing).collect();
    let (places, keys): (Vec<usize>, Vec<Key>) =
        keys.into_iter().enumerate().filter_map(|(place, key)| Some((place, key?))).unzip();
    if !keys.is_empty() {
        let read = Reading::begin(tx, &keys, room).await?.finish(tx).await?;
        places.into_iter().zip(read).for_each(|(place, read)| found[place] = read);
    }
    Ok(found)
}
