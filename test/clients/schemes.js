// Coder's, ToolJet's and Containarium's encryption, written from their formats
// with Node's own crypto: what the tests let write and read beside dbcrypt.
//
//   node schemes.js seal|open SCHEME KEY <lines >lines
//
// KEY is 64 hex digits. Each line is a JSON object; seal takes plaintext (hex) and
// adds value and companion, open takes those and adds plaintext. Whatever else a
// line holds is kept; table, attribute, username and name are used as needed.
// A value that does not open ends the program with status 1.
'use strict';
const crypto = require('crypto');
const readline = require('readline');

const NONCE = 12;
const TAG = 16;

function seal(key, nonce, aad, plaintext)
{
	const cipher = crypto.createCipheriv('aes-256-gcm', key, nonce);
	cipher.setAAD(aad);
	return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function open(key, nonce, aad, sealed)
{
	const decipher = crypto.createDecipheriv('aes-256-gcm', key, nonce);
	decipher.setAAD(aad);
	decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
	return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - TAG)), decipher.final()]);
}

// nonce || ciphertext || tag, in base64.
const blob = {
	seal(key, plaintext)
	{
		const nonce = crypto.randomBytes(NONCE);
		return Buffer.concat([nonce, seal(key, nonce, Buffer.alloc(0), plaintext)]).toString('base64');
	},
	open(key, value)
	{
		const bytes = Buffer.from(value, 'base64');
		return open(key, bytes.subarray(0, NONCE), Buffer.alloc(0), bytes.subarray(NONCE));
	},
};

function coderDigest(key)
{
	return crypto.createHash('sha256').update('aes256gcm').update(key).digest('hex').slice(0, 7);
}

function tooljetKey(key, row)
{
	const info = Buffer.concat([Buffer.alloc(32, 0xb4), Buffer.from(row.attribute + '_ciphertext')]);
	return Buffer.from(crypto.hkdfSync('sha384', key, Buffer.from(row.table), info, 32));
}

function containariumAad(row)
{
	return Buffer.from(row.username + '\0' + row.name);
}

const schemes = {
	coder: {
		seal: (key, row, plaintext) => ({ value: blob.seal(key, plaintext), companion: coderDigest(key) }),
		open(key, row)
		{
			if (row.companion !== coderDigest(key))
				throw new Error('under another key');
			return blob.open(key, row.value);
		},
	},
	tooljet: {
		seal: (key, row, plaintext) => ({ value: blob.seal(tooljetKey(key, row), plaintext) }),
		open: (key, row) => blob.open(tooljetKey(key, row), row.value),
	},
	containarium: {
		seal(key, row, plaintext)
		{
			const nonce = crypto.randomBytes(NONCE);
			const value = seal(key, nonce, containariumAad(row), plaintext);
			return { value: value.toString('hex'), companion: nonce.toString('hex') };
		},
		open: (key, row) => open(key, Buffer.from(row.companion, 'hex'), containariumAad(row),
			Buffer.from(row.value, 'hex')),
	},
};

const [action, name, hex] = process.argv.slice(2);
const scheme = schemes[name];
const key = Buffer.from(hex, 'hex');

readline.createInterface({ input: process.stdin }).on('line', (line) =>
{
	const row = JSON.parse(line);
	try
	{
		if (action === 'seal')
			Object.assign(row, scheme.seal(key, row, Buffer.from(row.plaintext, 'hex')));
		else
			row.plaintext = scheme.open(key, row).toString('hex');
	}
	catch (error)
	{
		console.error(`${error.message}: ${line}`);
		process.exit(1);
	}
	console.log(JSON.stringify(row));
});
