# SPDX-License-Identifier: Apache-2.0
# Three hosts whose links are cut, both ways or one way, and healed: at any time at most one service
# lives, fewer than half change nothing, nothing that was acknowledged is lost or comes in another order
# to the clients on all hosts, and who leads and can be heard goes on leading.
use v5.36;

use HA::History;
use HA::Hosts;
use HA::Service;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();
my $lacks = HA::Hosts::enter();
plan skip_all => $lacks if $lacks;

use constant {LEASE_MS => 3000, SOON => 30, FLAPS => 4, CLIENTS => 3};

my $t = HA::Test->new;
my $hosts = HA::Hosts->new($t, 3);
my $service = HA::Service->new($t, 'service');

# An address of IPv6; one that is not the one that is listened at; and a name.
my %nodes = (
    0 => {address => '[fd00:77::1]:7946'},
    1 => {address => '10.77.0.2:7946', bind => '0.0.0.0:7946'},
    2 => {address => 'host2:7946', bind => '[::]:7946'}
);
my @all = HA::Zerod->cluster($t, 'three', start => 0, service => $service, config => {timeout => LEASE_MS, nodes => \%nodes});
$all[$_]->runs_by($hosts->before($_)) for 0 .. 2;
$_->launch for @all;

my @acknowledged;

# What the leader knows of the nodes, by id.
sub nodes($leader)
{
    my $answer = $leader->ask({ask => 'cluster'});
    return {map {$_->{id} => $_} @{$answer->{nodes} // []}};
}

# A command that is carried out, or the end of the test.
sub order($zerod, $name)
{
    my $answer = $zerod->order('app-set', app => $name, single => \0);
    like($answer, qr/^done /, "$name is acknowledged by $zerod->{id}");
    push @acknowledged, $name if $answer =~ /^done/;
    return;
}

sub others(@not) { return HA::Zerod::others(\@not, @all) }

# All links are there, all agree, and one of three is active.
sub healed($what)
{
    $hosts->heal;
    my $leader = HA::Zerod::leader_of(@all);
    my $active = HA::Zerod::settled($service, @all);
    $t->wait_for(sub { !grep {my $map = $_->map; 1 != grep {($_->{active} // '') eq $active->{id}} @{$map->{apps}}} @all }, SOON, 'the map to say so');
    my %there = map {$_->{name} => 1} @{$leader->map->{apps}};
    is(join(' ', grep {!$there{$_}} @acknowledged), '', "$what: nothing that was acknowledged is lost");
    is($service->overlap_ms, 0, "$what: never two services at once");
    return ($leader, $active);
}

# The lead is at another one than the active one, or at that.
sub lead_at($active, $same)
{
    my $leader = HA::Zerod::leader_of(@all);
    return $leader if ($leader == $active) == $same;
    return HA::Zerod::hand_lead($same ? $active : (others($active))[0], @all);
}

my ($leader, $active, $history);

subtest 'three agree over addresses of all kinds' => sub {
    ($leader, $active) = healed('at first');
    order($_, "Kind$_->{id}") for @all;
    $history = HA::History->new($t, @all);
    $history->begin(CLIENTS, patience => 2, quiet => 0.5);
};

subtest 'G10: one that comes and goes does not vote out a leader that lives' => sub {
    my ($flaps) = others($leader, $active);
    $flaps //= (others($leader))[0];
    my ($term, $primary, $epoch) = ($leader->status->{term}, $leader->{id}, $active->status->{replica}{epoch});
    my $lives = scalar $service->lives;
    for (1 .. FLAPS) {
        $hosts->cut($flaps->{id});
        $t->wait_for(sub { !nodes($leader)->{$flaps->{id}}{present} }, SOON, 'it to be missed');
        $hosts->heal;
        $t->wait_for(sub { my $node = nodes($leader)->{$flaps->{id}}; $node->{present} && !$node->{lag} }, SOON, 'it to be heard');
    }
    ($leader, $active) = healed('one flaps');
    is($leader->status->{term}, $term, 'the term is the same');
    is($leader->{id}, $primary, 'so is who leads');
    is($active->status->{replica}{epoch}, $epoch, 'so is the epoch');
    is(scalar $service->lives, $lives, 'and the service has run on');
};

for my $same (1, 0) {
    subtest 'the leader is cut off' . ($same ? ', with the service' : ', the service is elsewhere') => sub {
        $leader = lead_at($active, $same);
        my $epoch = $active->status->{replica}{epoch};
        order($leader, "Before$same");
        my $since = HA::Service::now_ms();
        $hosts->cut($leader->{id});
        my @rest = others($leader);
        my $next = HA::Zerod::leader_of(@rest);
        $t->wait_for(sub { !$leader->status->{leads} }, SOON, 'it to step down');
        my $text = $leader->map_text;
        order($next, "During$same");
        my $now = HA::Zerod::active_of($service, @rest);
        if ($same) {
            my ($new) = grep {$_->{id} eq $now->{id}} reverse $service->lives;
            my ($old) = grep {$_->{id} eq $leader->{id}} reverse $service->lives;
            cmp_ok($old->{to}, '<', $new->{from}, 'H8: it has stopped its service before another one starts');
            cmp_ok($new->{from} - $since, '>=', LEASE_MS, 'H7: never before the lease is over');
        } else {
            is($now->status->{replica}{epoch}, $epoch, 'the lease goes on with the next leader');
        }
        like($leader->order('app-set', app => 'Never', single => \0), qr/^error: /, 'G11: one of three takes no command');
        is($leader->map_text, $text, 'and keeps its map');
        my $ex = $leader;
        ($leader, $active) = healed('the leader is back');
        isnt($leader->{id}, $ex->{id}, 'who led before follows');
        ok(!grep({$_->{name} eq 'Never'} @{$leader->map->{apps}}), 'what it refused did not happen');
    };
}

for my $deaf (1, 0) {
    subtest 'the leader with the service ' . ($deaf ? 'hears nobody' : 'is heard by nobody') => sub {
        $leader = lead_at($active, 1);
        order($leader, "BeforeWay$deaf");
        my @rest = others($leader);
        $hosts->cut_way($deaf ? ($_->{id}, $leader->{id}) : ($leader->{id}, $_->{id})) for @rest;
        my $next = HA::Zerod::leader_of(@rest);
        isnt($next->{id}, $leader->{id}, 'another one leads');
        order($next, "DuringWay$deaf");
        isnt(HA::Zerod::active_of($service, @rest)->{id}, $leader->{id}, 'another one is active');
        ok(!$leader->status->{leads}, 'it has stepped down');
        ($leader, $active) = healed('the leader hears and is heard');
    };
}

subtest 'the active one, which does not lead, hears nobody' => sub {
    $leader = lead_at($active, 0);
    my @rest = others($active);
    $hosts->cut_way($_->{id}, $active->{id}) for @rest;
    isnt(HA::Zerod::active_of($service, @rest)->{id}, $active->{id}, 'another one is active');
    order($leader, 'Deaf');
    ($leader, $active) = healed('it hears again');
};

subtest 'the leader and one other do not hear one another' => sub {
    my ($other) = others($leader);
    $hosts->cut_way($leader->{id}, $other->{id});
    $hosts->cut_way($other->{id}, $leader->{id});
    my $apart = sub { my ($now) = grep {$_->status->{leads}} @all; $now && ($now != $leader || !nodes($now)->{$other->{id}}{present}) };
    $t->wait_for($apart, SOON, 'one to miss the other');
    $t->wait_for(sub { my ($now) = grep {$_->status->{leads}} @all; $now && $now->order('app-set', app => 'Apart', single => \0) =~ /^(?:done|unchanged)/ }, SOON, 'a command');
    push @acknowledged, 'Apart';
    ($leader, $active) = healed('they hear one another');
};

subtest 'each is alone, and none goes on' => sub {
    $hosts->cut($_) for 0 .. 2;
    $t->wait_for(sub { !grep {$_->status->{leads}} @all }, SOON, 'nobody to lead');
    $t->wait_for(sub { !$service->alive }, SOON, 'no service to live');
    my @maps = map {$_->map_text} @all;
    like($_->order('app-set', app => 'Never', single => \0), qr/^error: /, "$_->{id} takes no command") for @all;
    is(join('', map {$_->map_text} @all), join('', @maps), 'all keep their map');
    ($leader, $active) = healed('all are back');
};

subtest 'a host is at another address, of which its name tells' => sub {
    $hosts->move(2, 'fd00:77::22');
    ($leader, $active) = healed('it is found');
    my $before = $leader->map->{version};
    order($leader, 'Moved');
    $t->wait_for(sub { $all[2]->map->{version} > $before }, SOON, 'it to have the map');
    pass('the others find it there');
};

subtest 'clients on all hosts have got one history through all of this' => sub {
    $history->stop;
    $history->is_linear(HA::Zerod::leader_of(@all));
    my %ends;
    $ends{$_->{end}}++ for $history->answers;
    cmp_ok($ends{done}, '>', 50, join ', ', map {"$ends{$_} $_"} sort keys %ends);
};

$_->stop for @all;
$service->kill_all;
$t->done;
