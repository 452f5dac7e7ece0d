-- Included by the runbook scripts: stops unless there are values, every one opens, and
-- dbcrypt_check() has no error or warning left.
\echo
\echo '5. Verification: every value is opened'
SET client_min_messages = warning;
DROP TABLE IF EXISTS pg_temp.runbook_verified;
RESET client_min_messages;
CREATE TEMPORARY TABLE runbook_verified AS
SELECT * FROM :"ext".dbcrypt_verify(:'table'::regclass, :'column'::name);
SELECT * FROM pg_temp.runbook_verified;
DO $$
DECLARE
	bad record;
BEGIN
	SELECT state, "values", examples INTO bad
	  FROM pg_temp.runbook_verified WHERE state NOT IN ('primary'::text, 'old'::text) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'stopped: % values are in state "%"', bad."values", bad.state
			USING DETAIL = concat('First: ', array_to_string(bad.examples, ', '::text), '.'),
				HINT = 'No key was revoked. Mend these rows and run this script again.';
	ELSIF NOT EXISTS (SELECT FROM pg_temp.runbook_verified WHERE "values" > 0::bigint) THEN
		RAISE EXCEPTION 'stopped: column % has no value, so nothing was proved',
			current_setting('runbook.place'::text)
			USING HINT = 'No key was revoked. If the column is not to be empty, connect to the '
				'right database and name the right table. If it is, let dbcrypt_encrypt_trigger '
				'encrypt what will be written.';
	END IF;
END $$;
\set done 'no key was revoked'
\set passed_over ''
\ir findings.sql
