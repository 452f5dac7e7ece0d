# What a release says of itself is one thing everywhere: the version, and META.json as
# the PGXN Meta Spec 1.0 wants it. The rules below are written from that specification.
use strict;
use warnings FATAL => 'all';

use FindBin;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
plan skip_all => 'the files are not here' unless -f "$root/META.json";
my $meta = JSON::PP->new->utf8->decode(slurp_file("$root/META.json"));

# ---- one version ----

my $version = $meta->{version};
like($version, qr/^\d+\.\d+\.\d+$/, 'a version of three parts');
my ($short) = $version =~ /^(\d+\.\d+)/;
my ($control) = slurp_file("$root/dbcrypt.control") =~ /^default_version = '(.*)'$/m;
is($control, $short, 'the control file has its first two: what SQL sees');
ok(-f "$root/sql/dbcrypt--$control.sql", 'there is a script of that version');
is($meta->{provides}{dbcrypt}{version}, $version, 'META.json: the extension has the version of the distribution');
my ($newest, $date) = slurp_file("$root/CHANGELOG.md") =~ /^## \[(.*?)\] - (.*)$/m;
is($newest, $version, 'CHANGELOG: the newest release');
like($date, qr/^(\d{4}-\d\d-\d\d|unreleased)$/, '... and when');
SKIP:
{
	skip 'no Debian packaging here', 1 unless -f "$root/debian/changelog";
	my ($debian) = slurp_file("$root/debian/changelog") =~ /^dbcrypt \(([\d.]+)/;
	is($debian, $version, 'debian/changelog');
}

# ---- CHANGELOG, in the form of keepachangelog 1.1 ----

my $changelog = slurp_file("$root/CHANGELOG.md");
like($changelog, qr/\A# Changelog\n/, 'CHANGELOG: its title');
my @headings = $changelog =~ /^### (.*)$/mg;
is_deeply([ grep { !/^(Added|Changed|Deprecated|Removed|Fixed|Security)$/ } @headings ], [], '... kinds of changes');
is_deeply([ grep { !/^\[(\d+\.\d+\.\d+|Unreleased)\]/ } $changelog =~ /^## (.*)$/mg ], [], '... releases');

# ---- META.json ----

my $is_version = qr/^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-?[A-Za-z][0-9A-Za-z-]*)?$/;
my $is_term = qr{^[^\s/\\[:cntrl:]]{2,}$};
my %licenses = map { ($_ => 1) } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd
  gfdl_1_2 gfdl_1_3 gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5
  postgresql qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown);

# What breaks the rules; the names of further keys begin with x_.
sub breaches
{
	my ($m) = @_;
	my @found;
	my $text = sub { defined $_[0] && !ref $_[0] && length $_[0] };
	for my $key (qw(name version abstract maintainer license provides meta-spec))
	{
		push @found, "$key is missing" unless exists $m->{$key};
	}
	my %known = map { ($_ => 1) } qw(name version abstract maintainer license provides meta-spec description
	  generated_by tags no_index prereqs release_status resources);
	push @found, map { "no such key: $_" } grep { !$known{$_} && !/^x_/i } sort keys %$m;
	push @found, 'name' unless ($m->{name} // '') =~ $is_term;
	push @found, 'version' unless ($m->{version} // '') =~ $is_version;
	push @found, map { "$_ is no text" } grep { exists $m->{$_} && !$text->($m->{$_}) } qw(abstract description generated_by);
	my @maintainers = ref $m->{maintainer} eq 'ARRAY' ? @{ $m->{maintainer} } : $m->{maintainer};
	push @found, 'maintainer' unless @maintainers && !grep { !$text->($_) } @maintainers;
	my $license = $m->{license} // '';
	push @found, 'license'
	  unless ref $license eq 'HASH'
	  ? !grep { !/^\w+:/ } values %$license
	  : !grep { !$licenses{$_} } ref $license ? @$license : $license;
	push @found, 'meta-spec' unless ($m->{'meta-spec'}{version} // '') =~ /^1\.0\.\d+$/;
	for my $name (sort keys %{ $m->{provides} // {} })
	{
		my $provided = $m->{provides}{$name};
		push @found, "provides: $name" unless $name =~ $is_term;
		push @found, "provides: $name: version" unless ($provided->{version} // '') =~ $is_version;
		push @found, "provides: $name: file" unless $text->($provided->{file});
		push @found, map { "provides: $name: $_" }
		  grep { !/^(file|version|abstract|docfile)$/ && !/^x_/i } sort keys %$provided;
	}
	push @found, 'provides nothing' unless %{ $m->{provides} // {} };
	push @found, 'tags' if grep { !$text->($_) || length > 255 || m{[/\\[:cntrl:]]} } @{ $m->{tags} // [] };
	push @found, 'release_status' unless ($m->{release_status} // 'stable') =~ /^(stable|testing|unstable)$/;
	for my $phase (sort keys %{ $m->{prereqs} // {} })
	{
		push @found, "prereqs: $phase" unless $phase =~ /^(configure|build|test|runtime|develop)$/;
		for my $relation (sort keys %{ $m->{prereqs}{$phase} })
		{
			push @found, "prereqs: $relation" unless $relation =~ /^(requires|recommends|suggests|conflicts)$/;
			push @found, map { "prereqs: $_" } grep {
				my $range = $m->{prereqs}{$phase}{$relation}{$_};
				grep { $_ ne '0' && s/^\s*(?:[<>]=?|[!=]=)?\s*//r !~ $is_version } split /,/, $range
			} sort keys %{ $m->{prereqs}{$phase}{$relation} };
		}
	}
	return \@found;
}
is_deeply(breaches($meta), [], 'META.json is as the specification wants it');
foreach my $provided (values %{ $meta->{provides} })
{
	ok(-f "$root/$_", "$_, which it names, is there") foreach $provided->{file}, $provided->{docfile};
}
like($meta->{description}, qr/in one transaction, in batches or in place/, 'it names every way to rotate');

# The rules find what breaks them.
foreach my $case (
	[ sub { delete $_[0]{license} }, 'license is missing' ],
	[ sub { $_[0]{license} = 'mine' }, 'license' ],
	[ sub { $_[0]{version} = '1.0' }, 'version' ],
	[ sub { $_[0]{provides}{dbcrypt}{version} = '01.0.0' }, 'provides: dbcrypt: version' ],
	[ sub { $_[0]{homepage} = 'x' }, 'no such key: homepage' ],
	[ sub { $_[0]{prereqs}{runtime}{requires}{PostgreSQL} = '15' }, 'prereqs: PostgreSQL' ],
	[ sub { $_[0]{tags} = ['a/b'] }, 'tags' ],
	[ sub { $_[0]{'meta-spec'}{version} = '2.0.0' }, 'meta-spec' ])
{
	my ($break, $what) = @$case;
	my $broken = JSON::PP->new->decode(JSON::PP->new->encode($meta));
	$break->($broken);
	ok((grep { $_ eq $what } @{ breaches($broken) }), "found: $what");
}
done_testing();
