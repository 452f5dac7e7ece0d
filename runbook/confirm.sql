-- Included by the runbook scripts: stops unless there is a backup.
\echo
\echo '3. Backup'
\if :yes
	\echo 'Taken for granted (yes=1).'
\else
	\prompt 'Is there a backup of this database AND, in another place, of its keys, that was once restored? Type yes: ' answer
	SELECT set_config('runbook.answer'::text, :'answer'::text, false)
	\g /dev/null
	DO $$
	BEGIN
		IF current_setting('runbook.answer'::text) <> 'yes'::text THEN
			RAISE EXCEPTION 'stopped, nothing was changed: no backup'
				USING HINT = 'Back up the database with pg_basebackup or pg_dump, and the key '
					'file apart from it.';
		END IF;
	END $$;
\endif
