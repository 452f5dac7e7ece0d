# docs/gitlab.md, run as it is written on 56 tables of GitLab's shape: the gems that GitLab
# uses write every value under the old db_key_base, and read every one with the new alone.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = "$FindBin::RealBin/../../docs/gitlab.md";
plan skip_all => 'the page is not here' unless -f $page;
plan skip_all => 'ruby-attr-encrypted or ruby-pg is not installed'
  if system(q{ruby -e 'require "attr_encrypted"; require "pg"' >/dev/null 2>&1});

my ($old, $new) = map { secret_key("gitlab $_") x 2 } 'old', 'new';
my $node = new_node('gitlab', keys => ["text:$old"], start => 0);
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE gitlab');
$node->safe_psql('gitlab', application_sql('gitlab'));
cmp_ok($node->safe_psql('gitlab', q{SELECT count(DISTINCT attrelid) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
	AND (attname LIKE 'encrypted%iv' OR attname LIKE '%\_encrypted')}), '>=', 40, 'forty of them have encrypted columns');

my $values = gitlab_gems($node, 'gitlab', 'write', $old);
cmp_ok($values, '>', 800, 'values are written');
is(gitlab_gems($node, 'gitlab', 'check', $old), $values, '... and read');

# What must not change: everything but encrypted columns and what stands beside them.
my $untouched = q{SELECT md5(string_agg(t, '|' ORDER BY t)) FROM (SELECT concat(id, email, encrypted_password, encrypted_otp_secret) FROM users
	UNION ALL SELECT concat(id, token_digest) FROM personal_access_tokens
	UNION ALL SELECT concat(id, updated_at) FROM projects UNION ALL SELECT concat(id, updated_at) FROM namespaces
	UNION ALL SELECT concat(id, username) FROM virtual_registries_packages_maven_upstreams) x (t)};
my $before = $node->safe_psql('gitlab', $untouched);

my %count;
my $text = slurp_file($page);
while ($text =~ /^( *)```(\w*)\n(.*?)^\1```$/gms)
{
	my ($indent, $language, $block) = ($1, $2, $3);
	$block =~ s/^$indent//gm;
	$block =~ s/\bOLD\b/$old/g;
	$block =~ s/\bNEW\b/$new/g;
	my $n = ++$count{$language};
	if ($language eq 'keys') { write_key_file(key_file($node), split /\n/, $block) }
	elsif ($language eq 'sql')
	{
		my ($rc, $out, $err) = $node->psql('gitlab', $block);
		is($rc, 0, "SQL block $n") or diag $err;
		unlike($err, qr/WARNING/, "... without a warning");
		after_block($n, $out, $err);
	}
	else { fail("a block of $language") }
}
is_deeply(\%count, { keys => 3, sql => 7 }, 'all of its blocks');

# What is known after each block.
sub after_block
{
	my ($n, $out, $err) = @_;
	if ($n == 1)
	{
		my @not = grep { !/\|adopted$/ } split /\n/, $out =~ s/^\w+\|\w+\n//r;
		is(join("\n", @not), join("\n",
			'ai_self_hosted_models|tmp_api_token||not adopted: of Active Record Encryption, which has keys of its own',
			'pages_domains|encrypted_key|attr_encrypted_cbc|not adopted: cannot tell the key of column "encrypted_key" of table "pages_domains": It has 3 of the 8 values that it takes.',
			'personal_access_tokens|token_digest||not encrypted: a digest salted with db_key_base, which needs the token to be made anew',
			'users|encrypted_otp_secret|attr_encrypted_cbc|not adopted: it is under otp_key_base, a secret of its own',
			(map { "virtual_registries_packages_maven_upstreams|$_||not adopted: of Active Record Encryption, which has keys of its own" } 'username', 'password'),
			'web_hook_logs|url_hash||not encrypted: a digest salted with db_key_base, which needs the URL to be made anew'),
			'what is not adopted, and why');
		like($out, qr/^p_ci_builds\|token_encrypted\|gitlab_token\|adopted$/m, 'a partitioned table');
		like($out, qr/^cluster_providers_gcp\|encrypted_access_token\|attr_encrypted_cbc_unsalted\|adopted$/m, 'CBC without a salt');
	}
	elsif ($n == 2) { is($out, 'pages_domains|encrypted_key|(3,f)', 'the column with few values') }
	elsif ($n == 3) { unlike($out, qr/\|(failed|not encrypted)\|/, 'all that is adopted opens') }
	elsif ($n == 4) { is(() = $out =~ /CREATE TRIGGER/g, 2, 'the two triggers that copy') }
	elsif ($n == 5)
	{
		like($err, qr/NOTICE:  column "encrypted_value" of table "ci_variables" takes about 1 s of processor time/, 'the cost is said');
		my $rotated = 0;
		$rotated += (split /\|/)[3] for grep { /\|.*\|.*\|/ } split /\n/, $out;
		# The second factor is GitLab's, and under another key.
		is($rotated, $values - 12, 'every value is rotated');
	}
	elsif ($n == 6) { is((split /\n/, $out)[-1], '0', 'all under the new key') }
	elsif ($n == 7) { like($out, qr/^users\|encrypted_otp_secret\|.*looks encrypted/m, 'the census sees what is not adopted') }
	return;
}

is(gitlab_gems($node, 'gitlab', 'check', $new), $values, 'every value, with the new db_key_base alone');
is($node->safe_psql('gitlab', q{SELECT DISTINCT state FROM dbcrypt_verify_all() ORDER BY 1}), "primary\nprimary, unauthenticated",
	'... and the new key alone in the ring');
is($node->safe_psql('gitlab', $untouched), $before, 'nothing else has changed, and no trigger fired');
is($node->safe_psql('gitlab', q{SELECT count(*) FROM dbcrypt_key_status WHERE revoked_at IS NOT NULL}), '1', 'the old key is revoked');
my $log = slurp_file($node->logfile);
is(index($log, $_), -1, 'no db_key_base in the log') for $old, $new;
$node->stop;

done_testing();
