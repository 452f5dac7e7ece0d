// Rotation as ToolJet's own kind of code does it: fetches the rows of each place,
// decrypts and encrypts each value, and updates it by primary key with a prepared
// statement, in one transaction. Derived keys are kept.
//
//   node tooljet_loop.js OLD_KEY NEW_KEY    keys in hex; prints milliseconds
'use strict';
const crypto = require('crypto');
const { Client } = require('pg');

const NONCE = 12;
const TAG = 16;

function derive(master)
{
	const keys = new Map();
	return (table, attribute) =>
	{
		const name = `${table}\0${attribute}`;
		if (!keys.has(name))
		{
			const info = Buffer.concat([Buffer.alloc(32, 0xb4), Buffer.from(`${attribute}_ciphertext`)]);
			keys.set(name, Buffer.from(crypto.hkdfSync('sha384', master, Buffer.from(table), info, 32)));
		}
		return keys.get(name);
	};
}

const [oldKey, newKey] = process.argv.slice(2).map((hex) => derive(Buffer.from(hex, 'hex')));

function rotate(value, table, attribute)
{
	const blob = Buffer.from(value, 'base64');
	const decipher = crypto.createDecipheriv('aes-256-gcm', oldKey(table, attribute), blob.subarray(0, NONCE));
	decipher.setAuthTag(blob.subarray(blob.length - TAG));
	const plaintext = Buffer.concat([decipher.update(blob.subarray(NONCE, blob.length - TAG)), decipher.final()]);
	const nonce = crypto.randomBytes(NONCE);
	const cipher = crypto.createCipheriv('aes-256-gcm', newKey(table, attribute), nonce);
	return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

const constant = 'org_environment_constant_values';
const places = [
	['credentials', 'value_ciphertext', 'SELECT id, value_ciphertext AS v FROM credentials',
		(row) => rotate(row.v, 'credentials', 'value')],
	[constant, 'value', `SELECT v.id, v.value AS v, c.organization_id AS o FROM ${constant} v
		JOIN organization_constants c ON c.id = v.organization_constant_id`, (row) => rotate(row.v, constant, row.o)],
	['organization_constant_version_values', 'value', `SELECT v.id, v.value AS v, c.organization_id AS o
		FROM organization_constant_version_values v JOIN organization_constant_versions n ON n.id = v.constant_version_id
		JOIN organization_constants c ON c.id = n.organization_constant_id`, (row) => rotate(row.v, constant, row.o)],
	['sso_configs', 'configs', 'SELECT id, configs AS v FROM sso_configs',
		(row) => JSON.stringify({ ...row.v, clientSecret: rotate(row.v.clientSecret, 'ssoConfigs', 'clientSecret') })],
	['user_details', 'user_metadata', 'SELECT id, user_metadata AS v FROM user_details',
		(row) => rotate(row.v, 'user_details', 'userMetadata')],
];

async function main()
{
	const client = new Client();
	await client.connect();
	const start = process.hrtime.bigint();
	await client.query('BEGIN');
	for (const [table, column, query, change] of places)
		for (const row of (await client.query(query)).rows)
			await client.query({ name: table, text: `UPDATE ${table} SET ${column} = $1 WHERE id = $2`, values: [change(row), row.id] });
	await client.query('COMMIT');
	console.log(Number(process.hrtime.bigint() - start) / 1e6);
	await client.end();
}

main().catch((error) =>
{
	console.error(error.message);
	process.exit(1);
});
