-- Included by the runbook scripts: stops at every error and warning of dbcrypt_check().
-- Warnings about the column itself are passed over before its values are rewritten,
-- because rewriting it is the answer to them. :done says what stands so far.
SET client_min_messages = warning;
DROP TABLE IF EXISTS pg_temp.runbook_findings;
RESET client_min_messages;
CREATE TEMPORARY TABLE runbook_findings AS SELECT * FROM :"ext".dbcrypt_check();
SELECT severity, subject, finding FROM pg_temp.runbook_findings;
SELECT set_config('runbook.done'::text, :'done'::text, false),
       set_config('runbook.passed_over'::text, :'passed_over'::text, false)
\g /dev/null
DO $$
DECLARE
	worst record;
BEGIN
	SELECT subject, finding, hint INTO worst
	  FROM pg_temp.runbook_findings
	 WHERE severity = 'error'::text
	    OR severity = 'warning'::text AND subject <> current_setting('runbook.passed_over'::text)
	 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'stopped, %: %: %', current_setting('runbook.done'::text), worst.subject,
			worst.finding USING HINT = worst.hint;
	END IF;
END $$;
