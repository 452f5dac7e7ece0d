-- Included by the runbook scripts: stops unless keys, columns and settings are as they
-- should be.
\echo
\echo '1. Keys, their canaries, and the registered columns'
\set done 'nothing was changed'
SELECT concat('column ', :'place'::text) AS passed_over
\gset
\ir findings.sql
SET client_min_messages = warning;
DROP TABLE IF EXISTS pg_temp.runbook_status;
RESET client_min_messages;
CREATE TEMPORARY TABLE runbook_status AS SELECT * FROM :"ext".dbcrypt_key_status;
SELECT key_id, is_primary, is_loaded, is_registered, retired_at, revoked_at, canary_ok
  FROM pg_temp.runbook_status;
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_temp.runbook_status WHERE is_primary) THEN
		RAISE EXCEPTION 'stopped, nothing was changed: no encryption keys are configured'
			USING HINT = 'Set dbcrypt.key_file to a key file; dbcrypt_generate_key() makes a key.';
	END IF;
END $$;
