# SPDX-License-Identifier: Apache-2.0
# Nodes that join and leave a running cluster, observers, and two nodes of which one is lost.
use v5.36;

use HA::Service;
use HA::Test;
use HA::Zero qw(zero);
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant LEASE_MS => 2000;

my $t = HA::Test->new;

sub nodes($zerod)
{
    return join ' ', map {$_->{id}} @{($zerod->map // {nodes => []})->{nodes}};
}

subtest 'one node grows to three (O6)' => sub {
    my ($first) = HA::Zerod->cluster($t, 'grow', n => 1);
    HA::Zerod::leader_of($first);
    my @all = ($first);
    for my $id ('b', 'c') {
        my $joiner = $first->joiner($id);
        $joiner->launch;
        $t->wait_for(sub { $joiner->running && $joiner->status }, 10, 'it to begin');
        is($joiner->status->{version}, 0, "$id knows nothing before it is told of");
        like(HA::Zerod::enlist(HA::Zerod::leader_of(@all), $joiner), qr/^done/, "the cluster is told of $id");
        push @all, $joiner;
        HA::Zerod::same_map("G7: $id has the map", @all);
        $t->wait_for(sub { $joiner->status->{index} > 0 }, 20, 'the log to come to it');
    }
    is(nodes($first), '0 b c', 'all are in the map');
    $t->wait_for(sub { 3 == grep {$_->status->{term}} @all }, 10, 'all to have a term');
    my $leader = HA::Zerod::leader_of(@all);
    $leader->kill;
    my $next = HA::Zerod::leader_of(grep {$_ != $leader} @all);
    isnt($next->{id}, $leader->{id}, 'the first one may be lost now');
    $leader->launch;
    HA::Zerod::same_map('and comes back', @all);

    $leader = HA::Zerod::leader_of(@all);
    my ($leaves) = grep {$_ != $leader && $_->{id} ne '0'} @all;
    like($leader->order('node-remove', node => $leader->{id}), qr/^refused \d+: node \S+ is the primary/, 'the primary does not leave');
    like($leader->order('node-remove', node => $leaves->{id}), qr/^done/, 'another one does');
    $leaves->stop;
    my @rest = grep {$_ != $leaves} @all;
    HA::Zerod::same_map('the others know', @rest);
    unlike(nodes($leader), qr/$leaves->{id}/, 'it is not in the map');
    $_->stop for @rest;
};

# One of two that are left stands still: the other one is for election, in vain, for as long as that.
subtest 'G7: a node joins during an election' => sub {
    my $service = HA::Service->new($t, 'late-service');
    my %nodes = (3 => {address => '127.0.0.1:' . $t->port, role => 'observer'}, map {$_ => '127.0.0.1:' . $t->port} 0 .. 2);
    my @all = HA::Zerod->cluster($t, 'late', n => 4, start => 0, service => $service, config => {timeout => LEASE_MS, nodes => \%nodes});
    pop @all; # a replica that has no node yet
    $_->launch for @all;
    my $leader = HA::Zerod::leader_of(@all);
    like($leader->order('node-remove', node => '3'), qr/^done/, 'replica 3 has no node');
    my $port = $t->port;
    my $joiner = $all[0]->joiner('3', http => "127.0.0.1:$port");
    my ($left, $still) = grep {$_ != $leader} @all;

    like(HA::Zerod::enlist($leader, $joiner), qr/^done/, 'the cluster is told of it');
    $still->pause;
    $leader->kill;
    $joiner->launch;
    my @looks;
    my $look = sub {
        my $at = HA::Service::now_ms();
        my $answer = $t->client(port => $port, cookies => 0, keep_alive => 0)->get('/ready');
        push @looks, {at => $at, ready => $answer->status, text => $answer->body, map => $joiner->map_text};
        return $looks[-1];
    };
    ok(eval { $t->wait_for(sub { ($look->()->{ready} // 0) == 503 }, 20); 1 }, 'it has begun, and /ready is 503');
    is($looks[-1]{text}, "not ready: there is no map yet\n", 'because it has no map');
    $t->wait_for(sub { $look->(); @looks > 50 }, 20, 'more looks');
    ok(!$left->status->{leads}, 'the one that is left does not lead');
    is(scalar(grep {$_->{map} || $_->{ready} == 200} @looks), 0, 'nobody leads: it has no map, and is not ready');

    $still->resume;
    $t->wait_for(sub { $look->()->{ready} == 200 }, 30, 'it to be ready');
    my @mapless = grep {!$_->{map}} @looks;
    is(scalar(grep {$_->{ready} != 503} grep {$_->{ready}} @mapless), 0, 'one leads: while it had no map, /ready was 503 each time');
    my $next = HA::Zerod::leader_of($left, $still);
    HA::Zerod::same_map('it has the map of the new leader', $next, $joiner);
    $next->ask_until({ask => 'switchover', to => '3'}, sub { $joiner->role eq 'active' }, 'it to be active');
    my ($first) = grep {/^\d+ 3 active /} $service->lines('runs');
    cmp_ok((split ' ', $first)[0], '>', $mapless[-1]{at}, 'ensure-active has run there after that, and not before');
    is($service->overlap_ms, 0, 'never two at once');
    $_->stop for $left, $still, $joiner;
    $service->kill_all;
};

subtest 'observers get the map, and never a vote (G12, G14)' => sub {
    my @all = HA::Zerod->cluster($t, 'watch', more => {web => {role => 'observer'}});
    my ($web) = grep {$_->{id} eq 'web'} @all;
    my @voters = grep {$_ != $web} @all;
    my $leader = HA::Zerod::leader_of(@voters);
    HA::Zerod::same_map('it has the map', @all);
    is($web->status->{leads} ? 1 : 0, 0, 'it does not lead');
    like($web->order('app-set', app => 'App', single => \0), qr/^done/, 'a command that it is told goes to the leader');
    HA::Zerod::same_map('and what came of it comes back', @all);
    my $lag = sub { my ($ack) = grep {$_->{id} eq 'web'} @{$leader->ask({ask => 'cluster'})->{nodes}}; return $ack->{lag} };
    ok(eval { $t->wait_for(sub { $lag->() == 0 }, 10, 'no lag'); 1 }, 'the leader knows that it has it');
    $web->pause;
    $leader->order('app-set', app => "A$_", single => \0) for 1 .. 3;
    cmp_ok($lag->(), '>=', 3, 'while it stands still it lags behind');
    $web->resume;
    HA::Zerod::same_map('and has it soon after', @all);
    my $before = $web->map_text;
    $leader->kill;
    my $next = HA::Zerod::leader_of(grep {$_ != $leader} @voters);
    HA::Zerod::same_map('it follows the next leader', $next, $web);
    isnt($web->map_text, $before, 'whose map is another one');
    $_->kill for grep {$_ != $leader} @voters;
    my $last = $web->map_text;
    $web->stop;
    $web->launch;
    $t->wait_for(sub { $web->status }, 10, 'it to begin');
    is($web->map_text, $last, 'alone it keeps the last one');
    $web->stop;
};

subtest 'H11: two nodes, of which one is lost, and the other one goes on by force' => sub {
    my $service = HA::Service->new($t, 'two-service');
    my @all = HA::Zerod->cluster($t, 'two', n => 2, service => $service, config => {timeout => LEASE_MS});
    my $leader = HA::Zerod::leader_of(@all);
    like($all[0]->said, qr/two nodes have a vote, and no third one/, 'they warn');
    $t->wait_for(sub { join(' ', $service->alive) eq '0' }, 20, 'the service');
    like($all[1]->ask({ask => 'force'})->{error} // $all[0]->ask({ask => 'force'})->{error}, qr/this node leads|may not/, 'a leader is not forced') if $leader == $all[1];
    $all[0]->lose($service);
    # In that time another one would take over.
    $t->pass_ms(3 * LEASE_MS);
    is(join(' ', $service->alive), '', 'nobody takes over');
    my @force = ('ha', 'force', "-c=$all[1]{config}", '-i=1');
    my ($code, $out, $err) = zero(@force);
    is($code, 2, 'without -yes nothing is forced');
    like($err, qr/may run twice/, 'but explained');
    is(join('|', zero(@force, '-yes')), "0|this node goes on alone: zero ha status shows it\n|", 'zero ha force -yes');
    $t->wait_for(sub { join(' ', $service->alive) eq '1' }, 20, 'the service on the other one');
    pass('it does');
    $all[0]->launch;
    HA::Zerod::same_map('the lost one comes back', @all);
    $t->wait_for(sub { $all[0]->role eq 'passive' }, 20, 'it to be passive');
    my $next = HA::Zerod::leader_of(@all);
    $t->wait_for(sub { $all[0]->status->{index} == $all[1]->status->{index} }, 20, 'all of the log');
    like($next->order('app-set', app => 'App', single => \0), qr/^done/, 'and they are two again');
    is($service->overlap_ms, 0, 'never two at once');
    $_->stop for @all;
    $service->kill_all;
};

subtest 'a node of another cluster is refused (O6)' => sub {
    my ($one) = HA::Zerod->cluster($t, 'one', n => 1);
    my ($other) = HA::Zerod->cluster($t, 'other', n => 1);
    HA::Zerod::leader_of($_) for $one, $other;
    $other->stop;
    my $joiner = $one->joiner('1');
    $joiner->launch;
    $t->wait_for(sub { $joiner->status }, 10, 'it to begin');
    HA::Zerod::enlist($one, $joiner, role => 'observer', electable => 0);
    HA::Zerod::same_map('it has the map of the one', $one, $joiner);
    $joiner->stop;
    $one->stop;
    $other->reconfigure(sub($config) { $config->{nodes}{0} = $one->config_of->{nodes}{0} });
    $other->launch;
    $t->wait_for(sub { ($other->status // {})->{leads} }, 10, 'the other one where the one was');
    my $before = $joiner->map_text;
    $joiner->launch;
    my ($ours, $theirs) = map {$_->map->{uuid}} $joiner, $other;
    my $named = sub { grep {/another cluster|belongs to/ && /\Q$ours\E/ && /\Q$theirs\E/} map {split /\n/, $_->said_now} $other, $joiner };
    ok(eval { $t->wait_for($named, 20); 1 }, 'it is refused, in a line of a log that names both');
    is($joiner->map_text, $before, 'the map stays');
    $_->stop for $joiner, $other;
};

$t->done;
