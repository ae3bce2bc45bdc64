# SPDX-License-Identifier: Apache-2.0
# A map that is missing, cut, changed in any byte, older or another cluster's changes nothing, and is
# said once; when it is good again, that is said too. Whatever there is when a child begins, it has
# the map that the others have.
use v5.36;

use HA::Map;
use HA::Mount qw(balancer bound children faster);
use HA::Test;

use constant CUTS => faster(60, 20);

my $t = HA::Test->new;
my %app = map {$_ => $t->app("host$_")} qw(A B C);
mkdir $t->dir('cluster');
chmod 0755, $t->dir('cluster');
my $map = HA::Map->new($t->dir('cluster/map'));
my $path = $map->path;
my %good = (App => {members => [map {HA::Map::member($app{$_})} qw(A B C)]});
my $text = $map->text(5, %good);
$map->{version} = 4;
my $server = $t->httpd(
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    log_level => 'info haproxy:debug',
    mpm_config => children(2, 8),
    config => join "\n", "HAMap $path", balancer('App', [@app{qw(A B)}]), '',
);
$t->expect_log(qr/HAMap \S+: not taken: /);

sub shares($count)
{
    return spread($t->client(port => $server->port, cookies => 0), '/App/plain', $count);
}

# How often that was said so far.
sub said($what)
{
    return $server->log->count(qr/HAMap \Q$path\E: $what/);
}

# What stands in place of the map is refused with this sentence, once, and nothing changes.
sub refused($name, $why, $make)
{
    subtest $name => sub {
        my ($before, $again) = (said('not taken'), said('can be used now'));
        $make->();
        $t->wait_for(qr/HAMap \Q$path\E: not taken: .*$why.*; map 5 stays in force$/);
        is(shares(6), 'hostA:2 hostB:2 hostC:2', 'the members are as before');
        is(said('not taken'), $before + 1, 'it is said once');
        chmod 0755, $t->dir('cluster');
        $map->put($text);
        $t->wait_for(sub { said('can be used now') == $again + 1 });
        is(said('not taken'), $before + 1, 'and that it is good again');
    };
    return;
}

is(shares(4), 'hostA:2 hostB:2', 'without a map the configured members serve');
$t->wait_for(qr/HAMap \Q$path\E: not taken: .*No such file or directory; members are as configured$/);
$map->next(%good);
$map->await($t, $server);
is(shares(6), 'hostA:2 hostB:2 hostC:2', 'with one those that it names');

refused('missing', 'No such file or directory', sub { unlink $path });
refused('empty', 'line 1', sub { $map->put('') });
refused('cut', '', sub { $map->put(substr $text, 0, length($text) - 20) });
refused('older', 'it is version 4, older than what is in force', sub { $map->put($map->text(4, %good)) });
refused('the same version with other content', 'it is another version 5 than that in force', sub { $map->put($map->text(5)) });
refused(
    'of another cluster', 'it is of cluster 11111111-2222-3333-4444-555555555555, not of 0f1e2d3c-',
    sub {
        my $other = HA::Map->new($path, uuid => '11111111-2222-3333-4444-555555555555');
        $map->put($other->text(9, %good));
    }
);
if ($server->identity) {
    my $user = (getpwnam(($server->identity)[0]))[2];
    refused('not readable', "the user with id $user, as whom the server's children run, has to be able to read it",
        sub { local $map->{mode} = 0600; $map->put($text) });
    refused('in a folder that is closed', "the user with id $user",
        sub { chmod 0700, $t->dir('cluster'); utime undef, undef, $t->dir('cluster') });
}

subtest 'changed in any byte, or cut at any' => sub {
    my $step = int(length($text) / CUTS) || 1;
    my $before = said('map \d+ of cluster');
    for (my $at = 0; $at < length $text; $at += $step) {
        my $changed = $text;
        substr($changed, $at, 1) = chr(ord(substr $text, $at, 1) ^ 1);
        $map->put($at / $step % 2 ? $changed : substr $text, 0, $at);
        $t->client(port => $server->port, cookies => 0)->get('/App/plain') if $at % 7 == 0;
    }
    $map->put('the last one');
    $t->wait_for(qr/HAMap \Q$path\E: not taken: line 1.*; map 5 stays in force$/);
    is(said('map \d+ of cluster'), $before, 'none is taken');
    is(shares(6), 'hostA:2 hostB:2 hostC:2', 'nothing changes');
};

subtest 'a graceful restart while the file is damaged' => sub {
    $server->graceful;
    $server->settle;
    is(shares(6), 'hostA:2 hostB:2 hostC:2', 'the new generation has the map that was in force');
    unlink $path;
    $server->graceful;
    $server->settle;
    is(shares(6), 'hostA:2 hostB:2 hostC:2', 'also when it is gone');
    $map->put($map->text(4, App => {members => []}));
    $server->graceful;
    $server->settle;
    is(shares(6), 'hostA:2 hostB:2 hostC:2', 'or older');
    my ($victim) = $server->children;
    $server->kill_child($victim);
    $t->wait_for(sub { my @now = $server->children; @now >= 2 });
    is(shares(12), 'hostA:4 hostB:4 hostC:4', 'a child that takes the place of one that died has it too');
};

subtest 'the next good one is taken' => sub {
    $map->{version} = 5;
    $map->next(App => {members => [HA::Map::member($app{C})]});
    $map->await($t, $server);
    is(shares(6), 'hostA:2 hostB:2 hostC:2', 'as ever');
    $map->next;
    $map->await($t, $server);
    is(shares(4), 'hostA:2 hostB:2', 'without the application the configured ones are left');
};

subtest 'a stop and a start take the map of another cluster' => sub {
    my $other = HA::Map->new($path, uuid => '11111111-2222-3333-4444-555555555555');
    $map->put($other->text(1, %good));
    $t->wait_for(qr/HAMap \Q$path\E: not taken: it is of cluster 1111.* after a stop and a start it is taken/);
    $server->stop;
    $server->start;
    is(shares(6), 'hostA:2 hostB:2 hostC:2', 'it is in force');
};

subtest 'a folder that comes later, and a link that moves' => sub {
    my $late = $t->dir('late');
    my $maps = HA::Map->new("$late/map");
    my $proxy = $t->httpd(
        modules => [qw(proxy proxy_http)],
        haproxy => 1,
        name => 'late-httpd',
        log_level => 'info haproxy:debug',
        config => join "\n", "HAMap $late/map", balancer('App', [@app{qw(A B)}]), '',
    );
    mkdir $late;
    $maps->next(%good);
    $maps->await($t, $proxy);
    my $client = $t->client(port => $proxy->port, cookies => 0);
    is(spread($client, '/App/plain', 6), 'hostA:2 hostB:2 hostC:2', 'its map is found');
    mkdir "$late/$_" for 1, 2;
    HA::Map->new("$late/1/map")->put($maps->text(2, %good));
    HA::Map->new("$late/2/map")->put($maps->text(3));
    unlink $maps->path;
    symlink "$late/1/map", $maps->path;
    $maps->await($t, $proxy, 2);
    symlink "$late/2/map", "$late/new";
    rename "$late/new", $maps->path;
    $maps->await($t, $proxy, 3);
    is(spread($client, '/App/plain', 4), 'hostA:2 hostB:2', 'so is that of a link');
};

subtest 'more members than there is room for' => sub {
    my $maps = HA::Map->new($t->dir('large'));
    $maps->next;
    my $proxy = $t->httpd(
        modules => [qw(proxy proxy_http)],
        haproxy => 1,
        name => 'large-httpd',
        log_level => 'info haproxy:debug',
        config => join "\n", 'HAMap ' . $maps->path, 'HAMaxMembers 16', balancer('App', [@app{qw(A B)}]), '',
    );
    $t->expect_log(qr/App: member n\d+: not added: HAMaxMembers: there is no room for more than 16 members of the map/);
    $t->expect_log(qr/App: member tls: not at https:|AH\d+: .*n\d+|AH0111[04]|AH00957/);
    my $client = $t->client(port => $proxy->port, cookies => 0);
    for my $n (1 .. 5) {
        # Each has an address of its own: what is there does not matter.
        my @new = map {{route => "k$n-$_", url => "http://127.0.0.1:" . (100 * $n + $_), admin => 'drain'}} 1 .. 10;
        $maps->next(App => {members => \@new});
        $maps->await($t, $proxy);
        is($proxy->log->count(qr/App: member k$n-\d+: added by map/), 10, "ten others take the place of ten ($n)");
    }
    $maps->next(App => {members => [map {{route => "n$_", url => "http://127.0.0.1:" . (700 + $_), admin => 'drain'}} 1 .. 20]});
    $maps->await($t, $proxy);
    is($proxy->log->count(qr/member n\d+: added by map/), 16, 'as many as there is room for');
    is($proxy->log->count(qr/member n\d+: not added/), 4, 'the others are named, once');
    is(spread($client, '/App/plain', 4), 'hostA:2 hostB:2', 'and all goes on');
};

$t->done;
