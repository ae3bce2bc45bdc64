# SPDX-License-Identifier: Apache-2.0
# Disks that are full, and calls that fail, on the leader of three daemons: what was acknowledged
# stays, what is not is refused, no daemon dies of a signal, and all is as it should be afterwards.
use v5.36;

use HA::Service;
use HA::Test;
use HA::Zerod;
use HA::Disk;
use HA::Strace;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();
my $lacks = HA::Disk::enter();
plan skip_all => $lacks if $lacks;

use constant {LEASE_MS => 3000, SOON => 40, DISK_KB => 24 << 10, LONG => 3000, SNAPSHOT => 1024};

my $t = HA::Test->new;
my $service = HA::Service->new($t, 'service');
my @all = HA::Zerod->cluster($t, 'three', start => 0, service => $service, config => {timeout => LEASE_MS});
my %disk = map {$_->{id} => HA::Disk->new($_->data, DISK_KB)} @all;
$_->launch for @all;

my @acknowledged;
my $orders = 0;

sub others(@not) { return HA::Zerod::others(\@not, @all) }

# What a daemon says that ends because of its disk, or does not begin.
use constant SENTENCE => qr/cannot be (?:written|cut|closed)|Not enough disk space|No space left|Input\/output error/;

# Those that have ended have said why, and are started again, as systemd would.
sub revive()
{
    for my $zerod (grep {!$_->running} @all) {
        my $status = $t->ended($zerod->pid);
        $t->may_fail($zerod->pid);
        is($status, 1 << 8, "$zerod->{id} has ended, by itself");
        # Its guard goes on a moment.
        my ($last) = grep {!/: guard: /} reverse split /\n/, $zerod->said_now;
        like($last, SENTENCE, 'and says why');
        $zerod->launch;
    }
    return;
}

# An application that is acknowledged, or a clear refusal. Whether it was.
sub order($zerod, $name)
{
    my $answer = $zerod->running ? $zerod->order('app-set', app => $name, single => \0) : undef;
    push @acknowledged, $name if ($answer // '') =~ /^done /;
    return ($answer // '') =~ /^done /;
}

# Long commands, until `enough` says so. What they say is against a rule: they are in the log, and
# change nothing. How many there are, and the answers of those that are not.
sub flood($zerod, $enough)
{
    my ($logged, @refused) = 0;
    while (!$enough->($logged, scalar @refused)) {
        my $url = 'http://192.0.2.1:8080/' . 'x' x LONG;
        my $answer = $zerod->order('member-set', app => 'Flood', route => 'hostA', url => $url, weight => 1, admin => 'enabled') // 'nobody answers';
        $answer =~ /^refused \d/ ? $logged++ : push @refused, $answer;
    }
    return ($logged, @refused);
}

# All are there, with one map and one log, one service lives, and nothing is lost.
sub healed($what)
{
    my $leader;
    for (1 .. 10) {
        $leader = eval { HA::Zerod::leader_of(@all) };
        last if $leader && !grep {!$_->running} @all;
        revive();
    }
    HA::Zerod::settled($service, @all);
    ok(eval { HA::Zerod::same_history(@all); 1 }, "$what: all have the same log");
    $leader = HA::Zerod::leader_of(@all);
    my %there = map {$_->{name} => 1} @{$leader->map->{apps}};
    is(join(' ', grep {!$there{$_}} @acknowledged), '', "$what: nothing that was acknowledged is lost");
    is($service->overlap_ms, 0, "$what: never two services at once");
    return $leader;
}

healed('at first');
my ($first) = grep {$_->role eq 'active'} @all;
my $leader = HA::Zerod::hand_lead($first, @all);
ok(order($leader, 'Flood'), 'an application');

subtest 'the disk of the leader is full' => sub {
    $disk{$leader->{id}}->fill;
    my ($other) = others($leader);
    my $early = grep {order($_, "Early$_->{id}")} @all;
    is($early, 3, 'it has room for some entries, and takes commands');
    my ($logged, @refused) = flood($other, sub($logged, $refused) { $logged > SNAPSHOT || $refused > 3 });
    is(join("\n", @refused), '', 'none is refused');
    cmp_ok($logged, '>', SNAPSHOT, 'two of three go on, when it has none left');
    like($leader->said, qr{/map: version \d+: cannot be written: No space left on device; it is tried again}, 'it says that its map is not written');
    order($other, 'Full');
    is($service->overlap_ms, 0, 'never two services at once');
    $disk{$leader->{id}}->room;
    $leader = healed('there is room again');
};

subtest 'a replica on a full disk becomes active' => sub {
    my ($active) = grep {$_->role eq 'active'} @all;
    my ($to) = grep {$_->role eq 'passive' && !($_->said =~ /replica \d: active/)} @all;
    $disk{$to->{id}}->fill;
    is(($active->ask({ask => 'switchover', to => $to->{id}}))->{moves}, $to->{id}, 'a switch to it');
    $t->wait_for(sub { $to->role eq 'active' && join(' ', $service->alive) eq $to->{id} }, SOON, 'it to be active');
    ok($to->running, 'it lives');
    $disk{$to->{id}}->room;
    $leader = healed('it has room again');
};

subtest 'a daemon begins with a full disk' => sub {
    my ($passive) = grep {$_->role eq 'passive' && $_ != $leader} @all;
    $passive->kill;
    $disk{$passive->{id}}->fill;
    my ($code, $said) = $passive->refusal;
    is($code, 1, 'it does not begin');
    like($said, SENTENCE, 'and says why');
    $disk{$passive->{id}}->room;
    $passive->launch;
    $leader = healed('it has room again');
};

subtest 'all disks are full' => sub {
    $_->fill for values %disk;
    my ($logged, @refused) = flood($leader, sub($logged, $refused) { $refused >= 5 });
    like($_, qr/^error: the disks of half of the nodes, or more, are full/, 'a command is refused') for @refused;
    is(scalar(grep {order($_, "Never$_->{id}")} @all), 0, 'no node acknowledges one');
    ok(!grep({!$_->running} @all), 'all live');
    $_->room for values %disk;
    $leader = healed('there is room again');
    $t->wait_for(sub { order($leader, 'Again') }, SOON, 'a command');
    $leader = healed('and they go on');
};

$lacks = HA::Strace::lacks($t);

# Lets go of a daemon. How many of its calls have failed.
sub failed($strace)
{
    return scalar grep {/ \(INJECTED\)$/} $strace->stop;
}

# Entries that only the leader has, and nobody has acknowledged; then another one leads.
sub leave_behind($leader, $name)
{
    my @rest = others($leader);
    my @sockets = map {IO::Socket::UNIX->new(Peer => $leader->data . '/control.sock')} 1 .. 3;
    # It leads for the time of an election yet.
    $t->signal($_->pid, 'KILL') for @rest;
    syswrite $sockets[$_ - 1], qq({"ask":"command","command":{"do":"app-set","app":"$name$_","single":false}}\n) for 1 .. 3;
    $_->kill for @rest;
    my $written = sub { grep {(HA::Zerod::slurp($_) // '') =~ /"${name}3"/} glob $leader->data . '/raft/open-*' };
    $t->wait_for($written, SOON, 'what only this one has');
    $leader->pause;
    $_->launch for @rest;
    return HA::Zerod::leader_of(@rest);
}

subtest 'a leader with a full disk has entries that are not agreed on' => sub {
    my $ex = $leader;
    my $next = leave_behind($ex, 'Lone');
    $disk{$ex->{id}}->fill;
    ok(order($next, 'Other'), 'something else is agreed on');
    $ex->resume;
    $t->wait_for(sub { !$ex->running || ($ex->status // {version => 0})->{version} == $next->status->{version} }, SOON, 'it to follow, or to end');
    $disk{$ex->{id}}->room;
    $leader = healed('there is room again');
    $ex->kill;
    $ex->launch;
    $leader = healed('its log is read again');
    ok(!grep({$_->{name} =~ /^Lone/} @{$leader->map->{apps}}), 'what was not agreed on is nowhere');
};

subtest 'a segment that cannot be closed, with entries that are not agreed on' => sub {
    plan skip_all => $lacks if $lacks;
    my $ex = $leader;
    my $next = leave_behind($ex, 'Stale');
    ok(order($next, 'Fresh'), 'something else is agreed on');
    my $strace = HA::Strace->new($t, $ex->pid, calls => ['rename'], inject => 'error=EIO');
    $ex->resume;
    $t->wait_for(sub { !$ex->running }, SOON, 'it to end');
    cmp_ok(failed($strace), '>', 0, 'calls have failed');
    $leader = healed('it is started again');
    ok(!grep({$_->{name} =~ /^Stale/} @{$leader->map->{apps}}), 'what was not agreed on is nowhere');
};

# The first file that is removed then is the old segment of what is cut.
subtest 'killed in the middle of a cut' => sub {
    plan skip_all => $lacks if $lacks;
    my $ex = $leader;
    my $next = leave_behind($ex, 'Cut');
    ok(order($next, 'After'), 'something else is agreed on');
    my $strace = HA::Strace->new($t, $ex->pid, calls => ['unlink'], inject => 'error=EIO:signal=KILL:when=1');
    $t->may_die_by($ex->pid, 'KILL');
    $ex->resume;
    $t->wait_for(sub { !$ex->running }, SOON, 'it to end');
    $strace->stop;
    my @notes = glob $ex->data . '/raft/cut-*';
    is(scalar(@notes), 1, 'the cut is not done');
    $ex->launch;
    $leader = healed('it is started again');
    ok(!grep({$_->{name} =~ /^Cut/} @{$leader->map->{apps}}), 'what was not agreed on is nowhere');
    is(join(' ', grep {-e} @notes), '', 'and the note of it is gone');
};

# What fails, on how many commands.
my @kinds = (
    ['entries', 'EIO', 100, 'io_submit'],
    ['the map', 'EIO', 100, 'fsync'],
    ['a snapshot', 'EIO', SNAPSHOT + 100, 'linkat'],
    ['a new segment', 'ENOSPC', 800, 'fallocate'],
    ['the term', 'EIO', 0, 'fdatasync'],
);

for my $kind (@kinds) {
    my ($what, $error, $n, $call) = @$kind;
    subtest "$what cannot be written: $error" => sub {
        plan skip_all => $lacks if $lacks;
        my $ex = $leader;
        my ($to) = others($ex);
        my $strace = HA::Strace->new($t, $ex->pid, calls => [$call], inject => "error=$error");
        order($_, "$call$_->{id}") for @all;
        flood($to, sub($logged, $refused) { $logged + $refused >= $n });
        # A new term is of another leader.
        $to->ask_until({ask => 'primary', node => $to->{id}}, sub { !$ex->running }, "$ex->{id} to end") if $call eq 'fdatasync';
        cmp_ok(failed($strace), '>', 0, 'calls have failed');
        $leader = healed('it can be written again');
        ok(order($leader, "${call}Again"), 'a command');
    };
}

$_->stop for @all;
$service->kill_all;
HA::Disk::unmount_all();
$t->done;
