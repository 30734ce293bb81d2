CREATE INDEX CONCURRENTLY IF NOT EXISTS mana_ai_mission_changes
    ON public.sync_changes (created_at) WHERE app_id = 'ai' AND table_name = 'aiMissions';
