# SPDX-License-Identifier: Apache-2.0
# Nodes that join and leave while links are cut: whoever was cut off learns of it when it is back, half
# of the votes and less changes nothing, and who was removed meanwhile neither leads nor serves again.
use v5.36;

use HA::Hosts;
use HA::Service;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();
my $lacks = HA::Hosts::enter();
plan skip_all => $lacks if $lacks;

use constant {LEASE_MS => 2000, SOON => 30, JOINS => 3};

my $t = HA::Test->new;
my $hosts = HA::Hosts->new($t, 4);
my $service = HA::Service->new($t, 'service');
my @all = HA::Zerod->cluster($t, 'three', start => 0, service => $service, config => {timeout => LEASE_MS, nodes => {map {($_ => '[fd00:77::' . ($_ + 1) . ']:7946')} 0 .. 2}});
$all[$_]->runs_by($hosts->before($_)) for 0 .. 2;
$_->launch for @all;
my %host = (0 => 0, 1 => 1, 2 => 2, web => JOINS);

# Ids of the nodes in the map of this one.
sub nodes($zerod) { return join ' ', sort map {$_->{id}} @{($zerod->map // {nodes => []})->{nodes}} }

sub others(@not) { return HA::Zerod::others(\@not, @all) }

# Each of these has a map of these nodes.
sub have_nodes($what, $nodes, @zerods)
{
    return ok(eval { $t->wait_for(sub { !grep {nodes($_) ne $nodes} @zerods }, SOON, 'the nodes') }, $what) || diag(map {"$_->{id}: " . nodes($_) . "\n"} @zerods);
}

# Another node, on the last host. It does not run yet.
sub joiner()
{
    my $joiner = $all[0]->joiner('web');
    $joiner->{address} = '[fd00:77::4]:7946';
    $joiner->reconfigure(sub($config) { $config->{nodes}{web}{address} = $joiner->{address} });
    $joiner->runs_by($hosts->before(JOINS));
    return $joiner;
}

# Tells each of these to change who is of the cluster, without waiting for what they say to that.
sub ask_all(@zerods)
{
    my @questions = ({do => 'node-remove', node => '2'}, {do => 'node-set', node => 'more', address => '[fd00:77::9]:7946', role => 'voter', electable => \1, raft => 99});
    my @told;
    for my $zerod (@zerods) {
        for my $command (@questions) {
            my $answer = $zerod->ask_later({ask => 'command', command => $command});
            push @told, {zerod => $zerod, what => $command->{do}, answer => $answer, map => $zerod->map_text};
        }
    }
    return @told;
}

# They have not done so.
sub is_refused($what, @told)
{
    for my $one (@told) {
        like(JSON::PP->new->encode($one->{answer}->()), qr/"error":"/, "G11: $what: $one->{zerod}{id} refuses $one->{what}");
        is($one->{zerod}->map_text, $one->{map}, 'and keeps its map');
    }
    return;
}

my $leader = HA::Zerod::leader_of(@all);
my $active = HA::Zerod::active_of($service, @all);
my $web = joiner();

subtest 'a node joins while another one is cut off' => sub {
    my ($cut) = others($leader, $active);
    $cut //= (others($leader))[0];
    $hosts->cut($host{$cut->{id}});
    have_nodes('one is cut off', join(' ', map {$_->{id}} others($cut)), $leader);
    my @told = ask_all($cut);
    $web->launch;
    like(HA::Zerod::enlist($leader, $web), qr/^done/, 'the others take a new one in');
    have_nodes('G7: which has their map', join(' ', (map {$_->{id}} others($cut)), 'web'), $leader, $web);
    unlike(nodes($cut), qr/web/, 'the one that is cut off knows nothing of it');
    is_refused('alone', @told);
    $hosts->heal;
    push @all, $web;
    have_nodes('it is back, and knows of it', '0 1 2 web', @all);
    is(HA::Zerod::leader_of(@all)->{id}, $leader->{id}, 'G10: the same one leads');
};

subtest 'two of four are no majority' => sub {
    # The new one has a vote when it has the log.
    $t->wait_for(sub { ($web->status // {})->{index} == $leader->status->{index} && $web->status->{term} }, SOON, 'the log');
    my $epoch = $active->status->{replica}{epoch};
    $hosts->cut($host{$leader->{id}}, $host{web});
    $t->wait_for(sub { !grep {$_->status->{leads}} @all }, SOON, 'nobody to lead');
    my @told = ask_all(@all);
    $t->wait_for(sub { !$service->alive }, SOON, 'the end of the lease');
    is_refused('half of them', @told);
    $hosts->heal;
    $leader = HA::Zerod::leader_of(@all);
    have_nodes('all are back, and all are there', '0 1 2 web', @all);
    $active = HA::Zerod::active_of($service, @all);
    cmp_ok($active->status->{replica}{epoch}, '>', $epoch, 'with a new lease');
    is($service->overlap_ms, 0, 'never two services at once');
};

subtest 'the active one is removed while it is cut off' => sub {
    my $gone = $active;
    $leader = HA::Zerod::hand_lead((grep {$_ != $web} others($gone))[0], @all) if $leader == $gone;
    $hosts->cut($host{$gone->{id}});
    my @rest = others($gone);
    like($leader->order('node-remove', node => $gone->{id}), qr/^done/, 'the others do so');
    $active = HA::Zerod::active_of($service, @rest);
    my ($new) = grep {$_->{id} eq $active->{id}} reverse $service->lives;
    my ($old) = grep {$_->{id} eq $gone->{id}} reverse $service->lives;
    cmp_ok($old->{to}, '<', $new->{from}, 'H8: it has stopped its service before another one starts');
    my ($term, $epoch) = ($leader->status->{term}, $active->status->{replica}{epoch});
    $hosts->heal;
    my @bad;
    $t->pass_ms(2 * LEASE_MS, sub { push @bad, $gone->role if $gone->status->{leads} || $gone->role =~ /active|taking/ });
    is("@bad", '', 'it is back, and neither leads nor serves');
    is(HA::Zerod::leader_of(@rest)->{id}, $leader->{id}, 'G10: the same one leads');
    is($leader->status->{term}, $term, 'in the same term');
    is($active->status->{replica}{epoch}, $epoch, 'and the same one is active');
    unlike(nodes($leader), qr/\Q$gone->{id}\E/, 'the map is without it');
    like($leader->order('app-set', app => 'After', single => \0), qr/^done/, 'commands go on');
    is($service->overlap_ms, 0, 'H4: never two services at once');
};

$_->stop for @all;
$service->kill_all;
$t->done;
