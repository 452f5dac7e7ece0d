-- Included by rotate.sql: revokes the keys that came before the primary one. The whole
-- database is searched first, so that what is found changes nothing; the revocation
-- searches again when nobody encrypts under the keys any more.
\echo
\echo '6. Search of the whole database, and revocation of the keys before the primary one'
SET client_min_messages = warning;
DROP TABLE IF EXISTS pg_temp.runbook_keys, pg_temp.runbook_places, pg_temp.runbook_databases;
RESET client_min_messages;
CREATE TEMPORARY TABLE runbook_keys AS
SELECT k.key_id, k.created_at > p.created_at AS is_newer
  FROM :"ext".dbcrypt_keys k, :"ext".dbcrypt_keys p
 WHERE k.revoked_at IS NULL AND k.key_id <> p.key_id
   AND p.key_id = (SELECT s.key_id FROM :"ext".dbcrypt_key_status s WHERE s.is_primary);
SELECT EXISTS (SELECT FROM pg_temp.runbook_keys WHERE NOT is_newer) AS has_keys
\gset
\if :has_keys
	CREATE TEMPORARY TABLE runbook_places AS
	SELECT c."table"::text AS "table", c."column", c.key_id, c.state, c."values", c.detail,
	       EXISTS (SELECT FROM string_to_array(:'accept'::text, ','::text) given, unnest(given) a,
	                      (SELECT c."table" AS relid
	                        UNION SELECT relid FROM pg_partition_ancestors(c."table")) t
	                WHERE a = concat_ws('.'::text, t.relid, quote_ident(c."column"::text))
	                   OR c.state = 'not readable'::text AND a = t.relid::text) AS accepted
	  FROM :"ext".dbcrypt_census(NULL::regclass) c;
	SELECT "table", "column", key_id, state, "values", detail FROM pg_temp.runbook_places;
\else
	CREATE TEMPORARY TABLE runbook_places
		("table" text, "column" name, key_id text, state text, "values" bigint, detail text,
		 accepted boolean);
	\echo 'There is no key to revoke.'
\endif
DO $$
DECLARE
	place record;
	key record;
	column_name text;
BEGIN
	SELECT p.* INTO place FROM pg_temp.runbook_places p
	 WHERE NOT p.accepted AND
	       (p.state = 'not readable'::text OR
	        p.state IN ('registered'::text, 'unregistered'::text) AND p.key_id IS NULL OR
	        p.state = 'unregistered'::text AND
	        p.key_id IN (SELECT k.key_id FROM pg_temp.runbook_keys k WHERE NOT k.is_newer))
	 LIMIT 1;
	IF FOUND THEN
		column_name := concat_ws('.'::text, place."table", quote_ident(place."column"::text));
		IF place.state = 'not readable'::text THEN
			RAISE EXCEPTION 'stopped, no key was revoked: not looked at: %', place.detail
				USING HINT = format('Values there may need an old key. Make it readable, drop it, '
					'or pass over it with -v accept=%s.'::text, place."table");
		ELSIF place.key_id IS NULL THEN
			RAISE EXCEPTION 'stopped, no key was revoked: % has values that no loaded key opens: %',
				column_name, place."values"
				USING HINT = format('They may need an old key. Mend the rows that dbcrypt_verify() '
					'names, or pass over them with -v accept=%s.'::text, column_name);
		ELSE
			RAISE EXCEPTION 'stopped, no key was revoked: % has values under key %, and nobody registered it: %',
				column_name, place.key_id, place."values"
				USING HINT = format('Rotate that column too (which registers it), delete the copy, '
					'or lose its values with -v accept=%s.'::text, column_name);
		END IF;
	END IF;
	FOR key IN SELECT k.key_id FROM pg_temp.runbook_keys k WHERE k.is_newer ORDER BY k.key_id
	LOOP
		RAISE NOTICE 'kept key %: it was registered after the primary key', key.key_id
			USING HINT = format('CALL dbcrypt_revoke_keys(ARRAY[%L]) revokes it.'::text, key.key_id);
	END LOOP;
	FOR key IN
		SELECT p.key_id, string_agg(concat('Column ', p."table", '.', quote_ident(p."column"::text),
		                                   ': ', p."values", ' values.'), ' '::text) AS used_at
		  FROM pg_temp.runbook_places p JOIN pg_temp.runbook_keys k ON k.key_id = p.key_id
		 WHERE NOT k.is_newer AND NOT p.accepted AND p.state = 'registered'::text
		 GROUP BY p.key_id ORDER BY p.key_id
	LOOP
		RAISE NOTICE 'kept key %: it is still in use', key.key_id
			USING DETAIL = key.used_at, HINT = 'Rotate that column too.';
		DELETE FROM pg_temp.runbook_keys k WHERE k.key_id = key.key_id;
	END LOOP;
END $$;
SELECT array_agg(key_id) AS keys, count(*) > 0::bigint AS has_keys,
       (SELECT coalesce(array_agg(CASE a WHEN 'pg_largeobject'::text THEN
                                         'pg_catalog.pg_largeobject'::text ELSE a END), '{}'::text[])
          FROM unnest(string_to_array(:'accept'::text, ','::text)) a) AS accepted
  FROM pg_temp.runbook_keys WHERE NOT is_newer
\gset
\if :has_keys
	CALL :"ext".dbcrypt_revoke_keys(:'keys'::text[], 'database'::text, :'accepted'::text[],
	                                60000::int);
	SELECT concat('Revoked key ', key_id, '.') AS "done"
	  FROM :"ext".dbcrypt_keys WHERE key_id = ANY (:'keys'::text[]) AND revoked_at IS NOT NULL;
\endif

\echo
\echo '7. What is left to do by hand'
-- The key file is the server's: every other database is asked.
CREATE TEMPORARY TABLE runbook_databases AS
SELECT k.key_id, d.database, d.state
  FROM :"ext".dbcrypt_key_status k
 CROSS JOIN LATERAL :"ext".dbcrypt_databases(k.key_id::text) d
 WHERE k.revoked_at IS NOT NULL AND k.is_loaded AND d.database <> current_database();
SELECT key_id, database, state FROM pg_temp.runbook_databases ORDER BY key_id, database;
SELECT CASE WHEN bool_or(state IN ('in use'::text, 'could not be asked'::text))
            THEN format('Keep key %s in the key file: %s. Rotate there, and run this script again.'::text,
                        key_id, string_agg(format('database %I: %s'::text, database, state), '; '::text)
                        FILTER (WHERE state IN ('in use'::text, 'could not be asked'::text)))
            ELSE format('Take key %s out of the key file or the configuration: no other database '
                        'that has dbcrypt uses it. Without dbcrypt, and not searched: %s.'::text,
                        key_id, string_agg(quote_ident(database::text), ', '::text ORDER BY database)
                        FILTER (WHERE state NOT IN ('not in use'::text)))
       END AS "to do"
  FROM pg_temp.runbook_databases GROUP BY key_id
 UNION ALL
SELECT 'Before a key is taken out, rotate what else uses it: applications, other servers.'::text
 UNION ALL
SELECT 'Keep the key, apart from the server, as long as a backup is kept that holds values under it.'::text;
