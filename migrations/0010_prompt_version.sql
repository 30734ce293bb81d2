-- So that plans can be compared over changes of the prompt. Null: mana-llm was not called, or by an older version.
ALTER TABLE mana_ai.mission_runs
    ADD COLUMN prompt_version text; -- a short hash over rules, tools and format of the prompt that was sent
