# SPDX-License-Identifier: Apache-2.0
# The watchdog device of a replica: a file stands for it, which gets a point each time that the device
# would be fed, and V when it would be stopped. One host, real processes, stopped and killed.
use v5.36;

use HA::Service;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant {LEASE_MS => 5000, QUIET_MS => 1500};

my $t = HA::Test->new;
my $service = HA::Service->new($t, 'service');
my $dog = $t->write_file('watchdog', '');
my $zerod = HA::Zerod->new($t, 'alone', config => {timeout => LEASE_MS, watchdog => $dog, $service->config(0)});

sub told() { return HA::Zerod::slurp($dog) }

sub fed($what)
{
    my $before = length told();
    $t->wait_for(sub { length(told()) > $before + 2 }, 20, "it to be fed, $what");
    return;
}

# The guard of the daemon that runs.
sub guard()
{
    my ($guard) = grep {(HA::Zerod::slurp("/proc/$_/stat") // '') =~ /\(zd-guard\)/} $zerod->processes;
    return $guard;
}

sub is_dead() { return HA::Service::is_dead((reverse $service->lives)[0]) }

subtest 'H8: it is fed while the lease holds, and from before the service begins' => sub {
    $service->wait_for('0', 0, 'the service');
    like(told(), qr/^[.]+$/, 'it was, before, and has not been stopped');
    fed('all the time');
};

subtest 'H9: kill -9 and restart of the daemon within the lease' => sub {
    my @before = $service->lives;
    $zerod->kill;
    $zerod->launch;
    $t->wait_for(sub { $zerod->role eq 'active' }, 10, 'it to be active again');
    fed('by the next guard');
    is(scalar(my @lives = $service->lives), scalar @before, 'the same process');
    unlike(told(), qr/V/, 'the device has not been stopped between');
};

subtest 'the guard is killed' => sub {
    my $guard = guard();
    kill 'KILL', $guard;
    $t->wait_for(sub { my $next = guard(); $next && $next != $guard }, 20, 'another one');
    fed('by that');
    unlike(told(), qr/V/, 'nobody has stopped it');
};

subtest 'the daemon and its guard stand still: nobody feeds it' => sub {
    fed('before');
    my $guard = guard();
    $zerod->pause;
    kill 'STOP', $guard;
    $t->wait_for(sub { (HA::Zerod::slurp("/proc/$guard/stat")) =~ /\) T / }, 10, 'the guard to stand still');
    my $told = told();
    $t->pass_ms(QUIET_MS);
    is(told(), $told, 'nothing is written any more: the host would be reset');
    is(join(' ', $service->alive), '0', 'and the service with it');
    kill 'CONT', $guard;
    $t->wait_for(sub { told() =~ /V$/ }, 20, 'the guard, which goes on, to have killed the service');
    ok(is_dead(), 'before it stops the device');
    $zerod->resume;
    $service->wait_for('0', 0, 'the service again');
    fed('with the next lease');
};

subtest 'H8: the daemon alone is dead' => sub {
    $zerod->kill;
    $t->wait_for(sub { told() =~ /V$/ }, 20, 'the device to be stopped');
    ok(is_dead(), 'when the service is');
    my $told = told();
    $t->pass_ms(QUIET_MS / 2);
    is(told(), $told, 'and left alone');
};

subtest 'a device that cannot be had' => sub {
    rename $dog, "$dog.gone" or die "$dog: $!\n";
    my $since = HA::Service::now_ms();
    $zerod->launch;
    $t->wait_for(sub { $zerod->said =~ /stopping, ensure-active failed too often/ }, 30, 'it to give up');
    like($zerod->said, qr/replica 0: ensure-active does not run without the guard: \Q$dog\E: No such file or directory/, 'it says why');
    is($service->runs('0', 'active', $since), 0, 'ensure-active has not run');
    rename "$dog.gone", $dog or die "$dog: $!\n";
    $service->wait_for('0', $since, 'the service, when the device is there');
    fed('then');
};

$zerod->end($service);
$service->kill_all;
$t->done;
