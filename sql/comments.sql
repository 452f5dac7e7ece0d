-- Every object of the extension says what it is, in \df+ and elsewhere: one sentence in
-- lower case, without a full stop, like PostgreSQL's own.
CREATE EXTENSION dbcrypt;
CREATE TEMPORARY VIEW members AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS object
  FROM pg_depend d, pg_extension e
 WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
   AND e.extname = 'dbcrypt'
   -- From PostgreSQL 17 on the row types of tables and views are members too.
   AND NOT EXISTS (SELECT FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
                      AND (t.typrelid <> 0 OR t.typelem <> 0))
UNION ALL
SELECT 'pg_trigger'::regclass, t.oid, pg_describe_object('pg_trigger'::regclass, t.oid, 0)
  FROM pg_trigger t WHERE t.tgrelid IN ('dbcrypt_keys'::regclass, 'dbcrypt_columns'::regclass)
   AND NOT t.tgisinternal;
SELECT count(*) > 50 AS "many objects" FROM members;
SELECT object FROM members WHERE obj_description(objid, classid::regclass::name) IS NULL ORDER BY 1;
SELECT object, obj_description(objid, classid::regclass::name) FROM members
 WHERE obj_description(objid, classid::regclass::name) !~ '^[a-z].{10,100}[^.]$' ORDER BY 1;
SELECT obj_description(objid, classid::regclass::name) AS "said twice", count(*) FROM members
 GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;
DROP VIEW members;
DROP EXTENSION dbcrypt;
