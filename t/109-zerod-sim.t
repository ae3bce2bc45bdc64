# SPDX-License-Identifier: Apache-2.0
# The simulation of whole daemons finds what is broken on purpose: an invariant that nothing breaks
# says nothing. That it finds nothing else is what t/engine/sim without arguments is for.
use v5.36;

use Test::More;

my $sim = ($ENV{top_builddir} // '.') . '/t/engine/sim';
plan skip_all => 'the simulation is not built: libraft or libuv is missing' if !-x $sim;

use constant MOST_SEEDS => 300;

my %broken = (
    floor => 'a new leader does not wait for leases of an earlier one',
    guard => 'nobody watches over the daemon',
    clock => 'the clocks of some nodes go twice as fast',
    kill => 'a service that is killed goes on',
    renew => 'a lease counts from when its renewal was heard',
    disk => 'a write that was synced is lost in a crash',
    vote => 'the vote is not on disk',
    ack => 'a command counts as done when the leader has it',
    twice => 'a command that is sent again is another one',
    snapshot => 'a snapshot lacks who has had which answer',
    barrier => 'a leader does not wait until it has carried all out',
);

# Seeds from 1 on until one finds it, each in a process of its own: of -break=disk some end libraft, which
# frees entries twice that contradict what it has committed.
for my $what (sort keys %broken) {
    my ($seed, $said) = (0);
    do { $seed++; $said = qx($sim -break=$what -seed=$seed -seeds=1 -steps=50000 2>&1) } until $? == 0 || $seed == MOST_SEEDS;
    is($?, 0, "it is found when $broken{$what}") or diag($said);
    like($said, qr/^sim: seed \d+, step \d+, at [\d.]+ s: ./m, 'and said, with the seed');
}

subtest 'a seed is the same every time' => sub {
    my @said = map {scalar qx($sim -seed=7 -seeds=1 -steps=30000 -loud 2>&1)} 1 .. 2;
    cmp_ok(length $said[0], '>', 10000, 'it says what happens');
    ok($said[0] eq $said[1], 'and that twice');
};

done_testing;
