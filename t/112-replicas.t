# SPDX-License-Identifier: Apache-2.0
# An active-passive service on three hosts: real daemons, real scripts, real processes, killed with
# real signals. At any time at most one service lives, by what the services write down themselves.
use v5.36;

use HA::History;
use HA::Service;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant {LEASE_MS => 5000, TAKEN_MS => 8000, BOTH_MS => 10_000, ROUND_MS => 1000};

my $t = HA::Test->new;
my $service = HA::Service->new($t, 'service');
my @all = HA::Zerod->cluster($t, 'three', service => $service, config => {timeout => LEASE_MS, scriptTimeout => 1500});
my $leader = HA::Zerod::leader_of(@all);

sub active() { return HA::Zerod::active_of($service, @all) }

# Another than these.
sub other(@not) { return (HA::Zerod::others(\@not, @all))[0] }

sub settled() { return HA::Zerod::settled($service, @all) }

# Runs of scripts so far that were told the wrong application, what else the service is to be, another
# epoch than that of the lease that their replica has, or had last, or another id: a line each.
sub wrongly_told()
{
    my %given = (0 => 'nobody', map {$_->{what} =~ /^Voting: active \S+ -> (\d+), epoch (\d+)/ ? ($2 => $1) : ()} @{HA::Zerod::leader_of(@all)->ask({ask => 'history'})->{history}});
    my @wrong;
    for my $line ($service->lines('runs')) {
        my ($at, $id, $role, $epoch, $app, $is_to_be, $told_id) = split / /, $line;
        my $holder = $given{$epoch} // 'none that was given';
        my $fits = $epoch eq '0' ? $role eq 'passive' : $holder eq $id;
        push @wrong, "$line (epoch of $holder)" if !$fits || $app ne 'Voting' || $is_to_be ne $role || $told_id ne $id;
    }
    return join "\n", @wrong;
}

# In how many leases active scripts have run.
sub leases_told()
{
    my %epochs = map {my ($at, $id, $role, $epoch) = split / /; $role eq 'active' ? ($epoch => 1) : ()} $service->lines('runs');
    return scalar keys %epochs;
}

subtest 'H4: one is active, the others are passive, and status shows it' => sub {
    my $active = settled();
    is($active->{id}, '0', 'S1: the first of the list, when nothing else is known');
    is($active->map->{apps}[0]{active}, '0', 'the map says so');
    is($active->map->{apps}[0]{epoch}, 1, 'with the epoch');
    is($active->status->{replica}{epoch}, 1, 'that the replica has');
    is(wrongly_told(), '', 'its scripts know the application, what to be, the epoch and the id');
};

subtest 'H5: scripts run every round, and a service that was killed is back within one' => sub {
    my $active = settled();
    my $before = HA::Service::now_ms();
    my ($life) = grep {$_->{id} eq $active->{id}} reverse $service->lives;
    kill 'KILL', $life->{pid};
    $t->wait_for(sub { HA::Service::is_dead($life) }, 5, 'its end');
    my $dead = HA::Service::now_ms();
    $t->wait_for(sub { my ($last) = reverse $service->lives; $last->{pid} != $life->{pid} }, 5, 'the next one');
    my ($last) = reverse $service->lives;
    is($last->{id}, $active->{id}, 'on the same host');
    my @runs = grep {$_ > $dead && $_ <= $last->{from}} map {/^(\d+) $active->{id} active / ? $1 : ()} $service->lines('runs');
    cmp_ok(scalar @runs, '<=', 1, 'by the next run of its script');
    # A round, and what a busy machine takes.
    cmp_ok($last->{from} - $before, '<', 2 * ROUND_MS, 'within a round');
    $t->wait_for(sub { $service->runs('1', 'passive', $before) >= 2 }, 5, 'two passive rounds');
    is($service->runs('1', 'active'), 0, 'a passive one runs ensure-passive alone');
};

subtest 'H9: kill -9 and restart of the daemon within the lease is no switch' => sub {
    my $active = settled();
    my $epoch = $active->map->{apps}[0]{epoch};
    my @before = $service->lives;
    $active->kill;
    $active->launch;
    $t->wait_for(sub { $active->role eq 'active' }, 10, 'it to be active again');
    is($active->map->{apps}[0]{epoch}, $epoch, 'with the same lease');
    is(scalar(my @lives = $service->lives), scalar @before, 'and the same process');
};

subtest 'H7: the host of the active one is lost' => sub {
    my $active = settled();
    my $since = HA::Service::now_ms();
    my $leads = $active->status->{leads};
    $active->lose($service);
    my $next = active();
    my ($life) = reverse $service->lives;
    cmp_ok($life->{from} - $since, '>=', LEASE_MS * 0.8, 'not before its lease is over');
    cmp_ok($life->{from} - $since, '<=', $leads ? BOTH_MS : TAKEN_MS, 'and soon after it');
    isnt($next->{id}, $active->{id}, 'on another host');
    $active->launch;
    settled();
    is($active->role, 'passive', 'the old one comes back as passive, without help');
    is($service->overlap_ms, 0, 'never two at once');
};

subtest 'H8: a daemon that is killed and does not come back has stopped its service in time' => sub {
    my $active = settled();
    my $since = HA::Service::now_ms();
    $active->kill;
    my $next = active();
    isnt($next->{id}, $active->{id}, 'another one takes over');
    my ($old) = grep {$_->{id} eq $active->{id}} reverse $service->lives;
    cmp_ok($old->{to} - $since, '<', LEASE_MS, 'the guard stopped the service');
    like($active->said, qr/guard: the daemon is dead: the service is stopped/, 'and said so');
    is($service->overlap_ms, 0, 'never two at once');
    $active->launch;
    settled();
};

my $history = HA::History->new($t, @all);
$history->begin(2, patience => 1, quiet => 0.5);

subtest 'a daemon that stands still for longer than its lease' => sub {
    my $active = settled();
    my $since = HA::Service::now_ms();
    $active->pause;
    $t->wait_for(sub { my @alive = $service->alive; @alive && $alive[0] ne $active->{id} }, 20, 'another one');
    $active->resume;
    $t->wait_for(sub { $active->role eq 'passive' }, 10, 'it to know that it is over');
    is($service->overlap_ms, 0, 'never two at once');
    like($active->said, qr/guard: the lease ran out: \d+ processes killed/, 'the guard killed what was left');
    settled();
};

subtest 'the leader stands still: another one leads, and nothing is switched' => sub {
    my $active = settled();
    my $leads = HA::Zerod::leader_of(@all);
    $leads = HA::Zerod::hand_lead(other($active), @all) if $leads == $active;
    my $epoch = $active->map->{apps}[0]{epoch};
    $leads->pause;
    my $next = HA::Zerod::leader_of(grep {$_ != $leads} @all);
    my $version = $next->map->{version};
    $leads->resume;
    $t->wait_for(sub { !$leads->status->{leads} && $leads->map->{version} >= $version }, 10, 'it to follow');
    is($active->map->{apps}[0]{epoch}, $epoch, 'the lease went on');
    is($service->overlap_ms, 0, 'never two at once');
};

subtest 'G15: clients have got one history while daemons stood still' => sub {
    $history->stop;
    $history->is_linear(HA::Zerod::leader_of(@all));
    cmp_ok(scalar(grep {$_->{end} eq 'done'} $history->answers), '>', 2, 'there was something');
};

subtest 'H6: one that cannot start its service gives up, and another one takes over' => sub {
    my $active = settled();
    $service->wish($active->{id}, 'fail-active');
    my $next;
    $t->wait_for(sub { my @alive = $service->alive; $next = $alive[0]; @alive == 1 && $next ne $active->{id} }, 20, 'another one');
    like($active->said, qr/replica $active->{id}: ensure-active: exit 1 after \d+ ms, it says: active is not possible here/, 'the log says why');
    like($active->said, qr/stopping, ensure-active failed too often/, 'and what came of it');
    $service->wish($active->{id});
    settled();
    is($service->overlap_ms, 0, 'never two at once');
};

subtest 'H6: who has given up comes to the end of the queue' => sub {
    # The one that gives up is the first of the list, which would be next if it had not.
    my $active = settled();
    $active->ask({ask => 'switchover', to => '0'}) if $active->{id} ne '0';
    $service->wait_for('0', 0, 'the service on 0');
    settled();
    my $waits = sub { my %ms = map {$_->{id} => $_->{waiting_ms}} @{HA::Zerod::leader_of(@all)->ask({ask => 'cluster'})->{nodes}}; return \%ms };
    $t->wait_for(sub { my $ms = $waits->(); $ms->{1} > LEASE_MS && $ms->{2} > LEASE_MS }, 30, 'the others to wait');
    $service->wish('0', 'fail-active');
    $t->wait_for(sub { join(' ', $service->alive) =~ /^[12]$/ }, 30, 'another one');
    my $asks_again = HA::Service::now_ms() + LEASE_MS;
    $service->wish('0');
    my $second = settled();
    my $third = other($all[0], $second);
    my $ms = $waits->();
    cmp_ok($ms->{0} + ROUND_MS, '<', $ms->{$third->{id}}, 'the one that gave up has waited less');
    # It wants the lease again by then.
    $t->pass_ms($asks_again - HA::Service::now_ms());
    $second->lose($service);
    is(active()->{id}, $third->{id}, 'the next loss: the other one that waits is chosen');
    $second->launch;
    settled();
    is($service->overlap_ms, 0, 'never two at once');
};

subtest 'H11: by hand' => sub {
    my $active = settled();
    my $to = other($active);
    my $since = HA::Service::now_ms();
    my $answer = $active->ask({ask => 'switchover', to => $to->{id}});
    is($answer->{moves}, $to->{id}, 'a switch to another one') or diag(explain($answer));
    my $took = $service->wait_for($to->{id}, $since, 'the service there');
    settled();
    my $scripts = $service->scripts_ms($since, $since + $took, $active->{id}, $to->{id});
    cmp_ok($took - $scripts, '<=', 1500, "took $took ms, of which scripts ran $scripts");
    is($service->overlap_ms, 0, 'never two at once');
    like($to->ask({ask => 'switchover', to => $to->{id}})->{error}, qr/it is the active one/, 'to itself is refused');
    like($to->ask({ask => 'switchover', to => '7'})->{error}, qr/is no replica's id, use 0, 1, 2$/, 'and to nobody');

    is($to->order('app-pause', app => 'Voting', paused => \1) =~ /^done/, 1, 'a pause');
    $to->lose($service);
    my $leads = HA::Zerod::leader_of(grep {$_ != $to} @all);
    # In that time another one would take over.
    $t->pass_ms(2 * LEASE_MS);
    is(join(' ', $service->alive), '', 'nobody takes over');
    $leads->order('app-pause', app => 'Voting', paused => \0);
    isnt(active()->{id}, $to->{id}, 'until it is over');
    $to->launch;
    settled();
};

subtest 'ensure-active is killed before it has written down what it began' => sub {
    my $active = settled();
    my ($life) = reverse $service->lives;
    $service->wish($active->{id}, 'late-pid');
    kill 'KILL', $life->{pid};
    $t->wait_for(sub { my ($last) = reverse $service->lives; $last->{pid} != $life->{pid} }, 5, 'the next one');
    my $to = other($active);
    my $answer = $active->ask({ask => 'switchover', to => $to->{id}});
    is($answer->{moves}, $to->{id}, 'a switch meanwhile') or diag(explain($answer));
    $service->wait_for($to->{id}, 0, 'the service there');
    $service->wish($active->{id});
    is($service->overlap_ms, 0, 'never two at once, though ensure-passive finds nothing to stop');
    settled();
};

subtest 'scripts that lie about success' => sub {
    my $active = settled();
    my ($life) = reverse $service->lives;
    $service->wish($active->{id}, 'lie');
    kill 'KILL', $life->{pid};
    $t->pass_ms(LEASE_MS / 2);
    is($active->role, 'active', 'ensure-active that lies is believed');
    $service->wish($active->{id});
    $service->wait_for($active->{id}, 0, 'the service');
    $service->wish($active->{id}, 'lie');
    my $answer = $active->ask({ask => 'switchover', to => other($active)->{id}});
    is($answer->{moves}, other($active)->{id}, 'a switch while ensure-passive lies') or diag(explain($answer));
    $service->wait_for(other($active)->{id}, 0, 'the service there');
    is($service->overlap_ms, 0, 'never two at once: what it has not stopped is killed');
    like($active->said, qr/what ensure-active has begun is killed: [1-9]/, 'and that is said');
    $service->wish($active->{id});
    settled();
};

subtest 'scripts that hang, forget SIGTERM, or print without end' => sub {
    my $active = settled();
    $service->wish($active->{id}, 'shout');
    $t->wait_for(sub { my @alive = $service->alive; @alive == 1 && $alive[0] ne $active->{id} }, 60, 'another one');
    $service->wish($active->{id});
    my $next = settled();
    is($service->overlap_ms, 0, 'it shouts: never two at once');
    $service->wish($next->{id}, 'hang-passive', 'hang-active', 'ignore-term');
    $next->ask({ask => 'switchover', to => other($next)->{id}});
    $t->wait_for(sub { my @alive = $service->alive; @alive == 1 && $alive[0] ne $next->{id} }, 60, 'another one');
    $service->wish($next->{id});
    is($service->overlap_ms, 0, 'it hangs: never two at once');
    settled();
};

subtest 'what scripts are told' => sub {
    settled();
    is(wrongly_told(), '', 'they know the application, what to be, the epoch and the id');
    cmp_ok(leases_told(), '>', 5, 'in several leases');
};

$_->stop for @all;
$service->kill_all;
$t->done;
