-- The missions that are set aside are few, and counted at the end of every tick.
CREATE INDEX mission_schedule_quarantined ON mana_ai.mission_schedule (user_id, mission_id)
    WHERE unreadable IS NOT NULL OR quarantined;
