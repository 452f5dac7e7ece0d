-- Included by the runbook scripts: stops unless the keys are as they should be.
\echo
\echo '1. Keys, their canaries, and the registered columns'
SET client_min_messages = warning;
DROP TABLE IF EXISTS pg_temp.runbook_findings;
RESET client_min_messages;
CREATE TEMPORARY TABLE runbook_findings AS SELECT * FROM dbcrypt_check();
SELECT severity, subject, finding FROM pg_temp.runbook_findings;
DO $$
DECLARE
	worst record;
BEGIN
	SELECT subject, finding, hint INTO worst
	  FROM pg_temp.runbook_findings WHERE severity = 'error' LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'stopped, nothing was changed: %: %', worst.subject, worst.finding
			USING HINT = worst.hint;
	ELSIF NOT EXISTS (SELECT FROM dbcrypt_key_status WHERE is_primary) THEN
		RAISE EXCEPTION 'stopped, nothing was changed: no encryption keys are configured'
			USING HINT = 'Set dbcrypt.key_file to a key file; dbcrypt_generate_key() makes a key.';
	END IF;
END $$;
SELECT key_id, is_primary, is_loaded, is_registered, revoked_at, canary_ok FROM dbcrypt_key_status;
