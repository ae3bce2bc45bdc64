# SPDX-License-Identifier: Apache-2.0
# Two daemons with one id, in two folders: by a wrong -i, or a host that was copied. The first one is
# node 1, whoever leads; the second one does no harm, and takes its place when it is gone.
use v5.36;

use HA::Service;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant LEASE_MS => 3000;

my $t = HA::Test->new;
my $service = HA::Service->new($t, 'service');
my @all = HA::Zerod->cluster($t, 'three', service => $service, config => {timeout => LEASE_MS});
my $first = $all[1];

# The second one listens elsewhere, and its service is on another host.
my $elsewhere = HA::Service->new($t, 'elsewhere');
my $config = $first->config_of;
delete $config->{dataDir};
$config->{nodes}{1} = {address => $config->{nodes}{1}, bind => '127.0.0.1:' . $t->port};
my $second = HA::Zerod->new($t, 'second', id => 1, start => 0, config => {%$config, $elsewhere->config(0 .. 2)});

sub make_active($zerod)
{
    $zerod->ask_until({ask => 'switchover', to => $zerod->{id}}, sub { $zerod->role eq 'active' }, "node $zerod->{id} to be active");
    $service->wait_for($zerod->{id}, 0, 'its service');
    return;
}

subtest 'the first one is active' => sub {
    make_active($first);
    my ($life) = reverse $service->lives;
    my $leader = HA::Zerod::leader_of(@all);
    my $term = $leader->status->{term};
    $second->launch;
    $t->wait_for(sub { $second->said =~ /the leader hears another daemon that is node 1, and not this one: / }, 20, 'the second one to be told');
    $t->pass_ms(2 * LEASE_MS);
    my ($now) = reverse $service->lives;
    is("$now->{pid} $now->{epoch}", "$life->{pid} $life->{epoch}", 'its service goes on, with its lease');
    is(join(' ', $elsewhere->lives), '', 'the other one has not begun');
    # It cannot find the leader if that is the first one: others tell it its own address.
    my $says = join('', map {$_->said} @all) =~ /node 1: two daemons say that they are it; the second one is not heard/;
    ok($says || $leader == $first, 'who leads says that there are two');
    my $now_leads = HA::Zerod::leader_of(@all);
    is("$now_leads->{id} " . $now_leads->status->{term}, "$leader->{id} $term", 'the same one leads, in the same term');
};

subtest 'another leader' => sub {
    my $leader = HA::Zerod::leader_of(@all);
    $leader = HA::Zerod::hand_lead((grep {$_ != $first} @all)[0], @all) if $leader == $first;
    $leader->kill;
    HA::Zerod::leader_of(grep {$_ != $leader} @all);
    $leader->launch;
    $t->pass_ms(3 * LEASE_MS);
    $t->wait_for(sub { my @alive = ($service->alive, $elsewhere->alive); @alive == 1 }, 30, 'one that is active');
    is(HA::Service::overlap_ms($service, $elsewhere), 0, 'never two at once');
};

# A new leader may hear the second one first, which has had runs in its folder by now: the lease of the
# first one is not its own, to take up or to give back.
subtest 'the lead goes to and fro' => sub {
    my @others = grep {$_ != $first} @all;
    $second->stop;
    make_active($first);
    $second->launch;
    for my $time (1 .. 6) {
        HA::Zerod::hand_lead($others[$time % 2], @all);
        $t->pass_ms(LEASE_MS / 2);
    }
    $t->wait_for(sub { my @alive = ($service->alive, $elsewhere->alive); @alive == 1 }, 30, 'one that is active');
    is(HA::Service::overlap_ms($service, $elsewhere), 0, 'never two at once');
};

subtest 'the first one leads' => sub {
    $second->stop;
    HA::Zerod::hand_lead($first, @all);
    my $term = $first->status->{term};
    $second->launch;
    $t->wait_for(sub { $second->said_now =~ /the leader hears another daemon/ }, 30, 'the second one to say so');
    is($first->status->{term}, $term, 'the term is the same');
    is($first->status->{leads} ? 1 : 0, 1, 'it leads');
};

subtest 'the first one is gone' => sub {
    $second->stop;
    make_active($first);
    HA::Zerod::hand_lead((grep {$_ != $first} @all)[0], @all) if HA::Zerod::leader_of(@all) == $first;
    $second->launch;
    $t->wait_for(sub { $second->said_now =~ /the leader hears another daemon/ }, 20, 'the second one to be told');
    $first->lose($service);
    my @rest = grep {$_ != $first} @all;
    my $heard = sub {
        my ($node) = grep {$_->{id} eq '1'} @{($rest[0]->ask({ask => 'cluster'}) // {})->{nodes} // []};
        return $node && ($node->{role} // '') eq 'passive' && $node->{heard_ms} < 1000;
    };
    $t->wait_for($heard, 30, 'the second one to be node 1');
    pass('the second one is node 1 then');
    $t->wait_for(sub { my @alive = ($service->alive, $elsewhere->alive); @alive == 1 }, 30, 'one that is active');
    is(HA::Service::overlap_ms($service, $elsewhere), 0, 'never two at once');
};

$_->stop for grep {$_->running} @all, $second;
$_->kill_all for $service, $elsewhere;
$t->done;
