# SPDX-License-Identifier: Apache-2.0
# Three nodes far apart: what they say takes 100 ms and more each way, and a link stands still for
# some seconds. Who leads goes on leading, who is active stays so, and no command is lost.
use v5.36;

use HA::History;
use HA::Relay;
use HA::Service;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

# Who is not heard for MISSED_MS is missed (ZD_PRESENT_MS).
use constant {LEASE_MS => 8000, DELAY_MS => 100, JITTER_MS => 50, QUIET_MS => 10_000, STALL_MS => 3000, MISSED_MS => 2000, SOON => 40, CLIENTS => 2};

my $t = HA::Test->new;
my $service = HA::Service->new($t, 'service');
my @all = HA::Zerod->cluster($t, 'three', start => 0, service => $service, config => {timeout => LEASE_MS});
my $relay = HA::Relay->new($t, \@all, delay_ms => DELAY_MS, jitter_ms => JITTER_MS);
$_->launch for @all;

my ($leader, $active);

sub settled()
{
    $leader = HA::Zerod::leader_of(@all);
    $active = HA::Zerod::settled($service, @all);
    return;
}

# All that must not change.
sub state_now()
{
    return join ' ', (
        leads => join('+', map {$_->{id}} grep {$_->status->{leads}} @all),
        term => join('+', map {$_->status->{term}} @all),
        active => join('+', map {$_->{id}} grep {$_->role eq 'active'} @all),
        epoch => $active->status->{replica}{epoch}
    );
}

# How many commands have been carried out.
sub done($history) { return scalar grep {$_->{end} eq 'done'} $history->answers }

settled();
my $history = HA::History->new($t, @all);
$history->begin(CLIENTS);
my ($before, $lives) = (state_now(), scalar(my @lives = $service->lives));

subtest 'all links are slow' => sub {
    my ($follower) = grep {$_ != $leader} @all;
    my $since = HA::Service::now_ms();
    like($follower->order('app-set', app => 'App', single => \0), qr/^done/, 'a command that another one than the leader is told');
    my $took = HA::Service::now_ms() - $since;
    cmp_ok($took, '>=', 4 * DELAY_MS, "goes there and to a third one, and back: $took ms");
    $t->pass_ms(QUIET_MS);
    is(state_now(), $before, 'G10: the same one leads, in the same term, and the same one is active');
    is(scalar(my @now = $service->lives), $lives, 'its service has run on');
    my $n = done($history);
    cmp_ok($n, '>', 5, "$n commands were acknowledged");
};

subtest 'H11: a switch' => sub {
    my ($to) = grep {$_ != $leader && $_ != $active} @all;
    my $since = HA::Service::now_ms();
    is($leader->ask({ask => 'switchover', to => $to->{id}})->{moves}, $to->{id}, 'is taken');
    $service->wait_for($to->{id}, $since, 'the service there');
    my $leads = $leader;
    settled();
    is($active->{id}, $to->{id}, 'and is done');
    is($leader->{id}, $leads->{id}, 'the same one leads');
    is($service->overlap_ms, 0, 'never two at once');
};

subtest 'the link of the active one to the leader stands still, and goes on' => sub {
    isnt($active->{id}, $leader->{id}, 'they are two');
    ($before, $lives) = (state_now(), scalar(my @lives = $service->lives));
    $relay->stall($active->{id}, $leader->{id});
    my ($third) = grep {$_ != $leader && $_ != $active} @all;
    like($third->order('app-set', app => 'Third', single => \0), qr/^done/, 'commands of the third one go on');
    my $missed = sub { my ($node) = grep {$_->{id} eq $active->{id}} @{$leader->ask({ask => 'cluster'})->{nodes}}; $node && !$node->{present} };
    $t->wait_for($missed, SOON, 'it to be missed');
    $t->pass_ms(STALL_MS - MISSED_MS);
    $relay->heal;
    $t->wait_for(sub { !$missed->() }, SOON, 'it to be heard');
    $t->wait_for(sub { $active->status->{version} >= $leader->status->{version} - 10 }, SOON, 'it to have what it has missed');
    is(state_now(), $before, 'G10: the same one leads, in the same term, and the same one is active');
    is(scalar(my @now = $service->lives), $lives, 'its service has run on');
};

$history->stop;
settled();
$history->is_linear($leader);
is($service->overlap_ms, 0, 'H4: never two services at once');

$_->stop for @all;
$service->kill_all;
$t->done;
