//! Gives up root, which Postgres refuses to run as.

use nix::unistd::{Uid, User, setgid, setuid};

use super::PostgresError;

/// For the whole process and for good. Does nothing for an ordinary user.
pub(super) fn give_up_root() -> Result<(), PostgresError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let user = ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .ok_or(PostgresError::NoAccount)?;
    become_user(&user).map_err(|cause| PostgresError::KeepsRoot { account: user.name.clone(), cause })
}

fn become_user(user: &User) -> nix::Result<()> {
    // The user comes last: from then on the process may not change its groups.
    #[cfg(not(target_vendor = "apple"))]
    nix::unistd::setgroups(&[user.gid])?;
    setgid(user.gid)?;
    setuid(user.uid)
}
