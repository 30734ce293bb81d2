CREATE INDEX CONCURRENTLY IF NOT EXISTS mana_ai_mission_changes
    ON public.sync_changes (created_at)
    WHERE app_id OPERATOR(pg_catalog.=) 'ai' AND table_name OPERATOR(pg_catalog.=) 'aiMissions';
