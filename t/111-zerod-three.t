# SPDX-License-Identifier: Apache-2.0
# Daemons of several hosts, each a process with its own folder, over TLS on loopback: one leads, all
# have the same map, and what was acknowledged stays whoever is killed.
use v5.36;

use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

my $t = HA::Test->new;

sub others($zerod, @all)
{
    return grep {$_ != $zerod} @all;
}

sub same_map($what, @zerods)
{
    my $same = sub {
        my %maps = map {($_->map_text // '') => 1} @zerods;
        return keys %maps == 1;
    };
    ok(eval { $t->wait_for($same, 10, 'the same map'); 1 }, $what);
    return;
}

sub apps($zerod)
{
    return join ' ', sort map {$_->{name}} @{$zerod->map->{apps}};
}

subtest 'three agree' => sub {
    my @all = HA::Zerod->cluster($t, 'three');
    my $leader = HA::Zerod::leader_of(@all);
    same_map('G2: the same version is the same bytes on every node', @all);
    is($leader->order('app-set', app => 'App', single => \0), 'done ' . $leader->status->{version}, 'the leader takes a command');
    $t->wait_for(sub { !grep {apps($_) ne 'App Voting'} @all }, 10, 'it to come to all');
    same_map('and all have it', @all);
    my ($follower) = others($leader, @all);
    like($follower->order('app-set', app => 'Shop', single => \0), qr/^done \d+$/, 'G3: another one hands it on to the leader');
    is($follower->status->{primary}, $leader->{id}, 'and knows who the primary is');

    my $version = $leader->status->{version};
    $leader->kill;
    my @rest = others($leader, @all);
    my $next = HA::Zerod::leader_of(@rest);
    isnt($next->{id}, $leader->{id}, 'G8: the leader is killed, and another one leads');
    cmp_ok($next->map->{version}, '>', $version, 'with a later map');
    cmp_ok($next->map->{term}, '>', 1, 'of a later term');
    is($next->order('app-set', app => 'Store', single => \0), 'done ' . $next->status->{version}, 'which takes commands');
    $leader->launch;
    $t->wait_for(sub { ($leader->status // {version => 0})->{version} == $next->status->{version} }, 10, 'the old one to follow');
    ok(!$leader->status->{leads}, 'G5: the old leader comes back as one of the others');
    same_map('with the same map', @all);
    is(apps($leader), 'App Shop Store Voting', 'and nothing is missing');

    $_->kill for others($next, @all);
    $t->wait_for(sub { !$next->status->{leads} }, 10, 'the last one to notice');
    my $before = $next->map_text;
    like($next->order('app-set', app => 'Never', single => \0), qr/^error: /, 'G11: one of three takes no command');
    is($next->map_text, $before, 'and keeps its map');
    $_->launch for others($next, @all);
    my $again = HA::Zerod::leader_of(@all);
    same_map('two more, and they go on', @all);
    like(apps($again), qr/^App (?:Never )?Shop Store Voting$/, 'with all that was acknowledged');
    is($_->stop, 0, "$_->{name} ends") for @all;
};

subtest 'all are killed at once, again and again' => sub {
    my @all = HA::Zerod->cluster($t, 'storm');
    my @acknowledged;
    for my $round (1 .. 5) {
        my $leader = HA::Zerod::leader_of(@all);
        my $answer = $leader->order('app-set', app => "A$round", single => \0);
        like($answer, qr/^done/, "round $round: an answer");
        push @acknowledged, "A$round";
        $_->kill for @all;
        $_->launch for @all;
    }
    my $leader = HA::Zerod::leader_of(@all);
    is(apps($leader), join(' ', sort 'Voting', @acknowledged), 'nothing that was acknowledged is lost');
    $_->stop for @all;
};

subtest 'G12: a witness has a vote, and never leads' => sub {
    my @all = HA::Zerod->cluster($t, 'witness', n => 2, more => {web => {role => 'witness'}});
    my $leader = HA::Zerod::leader_of(@all);
    isnt($leader->{id}, 'web', 'another one leads');
    for (1 .. 3) {
        $leader->kill;
        my $next = HA::Zerod::leader_of(others($leader, @all));
        isnt($next->{id}, 'web', 'also when that one is killed');
        $leader->launch;
        $leader = HA::Zerod::leader_of(@all);
    }
    is($leader->map->{nodes}[2]{role}, 'witness', 'the map says so');
    is($leader->order('lead', node => 'web', term => 1000), 'refused ' . $leader->status->{version} . ': node web may not lead: it is witness', 'nor by hand');
    $_->stop for @all;
};

subtest 'who does not know the secret has no part' => sub {
    my @all = HA::Zerod->cluster($t, 'secret', start => 0);
    my ($stranger) = splice @all, 2, 1;
    my $config = JSON::PP->new->decode(do { open(my $in, '<', $stranger->{config}) or die; local $/; <$in> });
    $config->{secretFile} = $t->write_file('other.secret', 'another secret of enough bytes, for a test');
    chmod 0600, $config->{secretFile};
    $t->write_file($stranger->{config}, JSON::PP->new->encode($config));
    $_->launch for @all, $stranger;
    my $leader = HA::Zerod::leader_of(@all);
    ok($leader, 'two of three lead themselves');
    $t->wait_for(sub { $leader->said =~ /refused, the last one: / || $all[0]->said =~ /refused, the last one: / }, 10, 'a refusal');
    is($stranger->map_text, undef, 'the third one learns nothing');
    $_->stop for @all, $stranger;
    my ($code, $said);
    $t->write_file($config->{secretFile}, "short\n");
    chmod 0600, $config->{secretFile};
    ($code, $said) = $stranger->refusal;
    like("$code $said", qr/^1 zerod: \S+: the secret has less than 32 bytes/, 'a short secret is refused');
    chmod 0644, $config->{secretFile};
    ($code, $said) = $stranger->refusal;
    is($code, 3, 'and one that others can read');
};

$t->done;
