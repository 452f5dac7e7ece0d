-- Included by the runbook scripts: stops unless every value opens.
\echo
\echo '5. Verification: every value is opened'
SET client_min_messages = warning;
DROP TABLE IF EXISTS pg_temp.runbook_verified;
RESET client_min_messages;
CREATE TEMPORARY TABLE runbook_verified AS SELECT * FROM dbcrypt_verify(:'table', :'column');
SELECT * FROM pg_temp.runbook_verified;
DO $$
DECLARE
	bad record;
BEGIN
	SELECT state, "values", examples INTO bad
	  FROM pg_temp.runbook_verified WHERE state NOT IN ('primary', 'old') LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'stopped: % values are in state "%"', bad."values", bad.state
			USING DETAIL = 'First: ' || array_to_string(bad.examples, ', ') || '.',
				HINT = 'No key was revoked. Mend these rows and run this script again.';
	END IF;
END $$;
