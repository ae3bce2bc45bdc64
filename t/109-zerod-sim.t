# SPDX-License-Identifier: Apache-2.0
# The simulation of whole daemons finds what is broken on purpose: an invariant that nothing breaks
# says nothing. That it finds nothing else is what t/engine/sim without arguments is for.
use v5.36;

use Test::More;

my $sim = ($ENV{top_builddir} // '.') . '/t/engine/sim';
plan skip_all => 'the simulation is not built: libraft or libuv is missing' if !-x $sim;

use constant MOST_SEEDS => 1000;

my $alive = qr/the service of node \S+ is alive, and \S+ is agreed to be active|two services are alive: /;
my $late = qr/ensure-active for epoch \d+ after epoch \d+/;

# What is broken, and by what that is to be found.
my %broken = (
    floor => ['a new leader does not wait for leases of an earlier one', $alive],
    guard => ['nobody watches over the daemon', $alive],
    clock => ['the clocks of some nodes go twice as fast', $alive],
    kill => ['a service that is killed goes on', $alive],
    renew => ['a lease counts from when its renewal was heard', qr/$alive|$late/],
    disk => ['a write that was synced is lost in a crash', qr/the log has lost what|the log is not the same everywhere/],
    vote => ['the vote is not on disk', qr/two nodes lead in term \d+/],
    ack => ['a command counts as done when the leader has it', qr/was acknowledged and not carried out/],
    twice => ['a command that is sent again is another one', qr/was carried out twice/],
    snapshot => ['a snapshot lacks who has had which answer', qr/the snapshot of command \d+ says something else/],
    barrier => ['a leader does not wait until it has carried all out', $late],
);
is(join(' ', sort keys %broken), join(' ', sort split ' ', qx($sim -breaks)), 'all that can be broken is tried');

# Seeds from 1 on until one finds it, each in a process of its own: of -break=disk some end libraft, which
# frees entries twice that contradict what it has committed. Of all else none may.
for my $what (sort keys %broken) {
    my ($how, $by) = $broken{$what}->@*;
    my ($seed, $said, $found) = (0, '', 0);
    until ($found || $seed == MOST_SEEDS || ($what ne 'disk' && $said =~ /dies of signal/)) {
        $seed++;
        $said = qx($sim -break=$what -seed=$seed -seeds=1 -steps=50000 2>&1);
        $found = $? == 0 && $said =~ /^sim: seed \d+, step \d+, at [\d.]+ s: .*$by/m;
    }
    ok($found, "it is found when $how") or diag($said);
}

subtest 'a seed is the same every time' => sub {
    my @said = map {scalar qx($sim -seed=7 -seeds=1 -steps=30000 -loud 2>&1)} 1 .. 2;
    cmp_ok(length $said[0], '>', 10000, 'it says what happens');
    ok($said[0] eq $said[1], 'and that twice');
};

done_testing;
