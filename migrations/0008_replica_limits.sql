-- So that whoever asks why a mission is not planned knows the limit that holds it. Null: an older version.
ALTER TABLE mana_ai.replicas
    ADD COLUMN user_concurrency int; -- the most missions of one user that the process lets be planned at once
