# SPDX-License-Identifier: Apache-2.0
# restartHalIfDead.sh, in the folder of config.json: who calls it need not know whether the daemon runs.
use v5.36;

use File::Copy ();
use IO::Socket::UNIX;
use Socket qw(SOL_SOCKET SO_PEERCRED);

use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();
my $t = HA::Test->new;

# Daemons that the script has started are nobody's: when a test dies they would stay.
my @all;
END { kill 'KILL', grep {$_} map {pid_of($_)} @all }

# A folder with the script beside config.json.
sub folder($name, %opt)
{
    push @all, my $zerod = HA::Zerod->new($t, $name, start => 0, %opt);
    File::Copy::copy(HA::Test::top_srcdir() . '/tools/restartHalIfDead.sh', $zerod->{dir}) or die "$!\n";
    chmod 0755, "$zerod->{dir}/restartHalIfDead.sh";
    return $zerod;
}

# Starts it: its pid.
sub call($zerod, @arguments)
{
    state $n = 0;
    $zerod->{said_in} = 'call' . $n++;
    my $pid = $t->spawn($zerod->{said_in}, cmd => ["$zerod->{dir}/restartHalIfDead.sh", @arguments], env => {ZEROD => HA::Zerod::program()});
    $t->may_fail($pid);
    return $pid;
}

# Runs it: exit code and what it said.
sub restart($zerod, @arguments)
{
    my $code = $t->wait_end(call($zerod, @arguments)) >> 8;
    return ($code, HA::Log->new($t->dir("$zerod->{said_in}.out"))->text);
}

# The daemon's own pid, from its socket; it is nobody's child.
sub pid_of($zerod)
{
    my $socket = IO::Socket::UNIX->new(Peer => $zerod->data . '/control.sock') or return undef;
    my ($pid) = unpack 'l', getsockopt($socket, SOL_SOCKET, SO_PEERCRED);
    return $pid;
}

# One that was killed is there as long as its last thread writes.
sub is_there($pid)
{
    return 1 if (() = glob "/proc/$pid/task/*") > 1;
    my $state = (HA::Test::process_list()->{$pid} // {state => 'X'})->{state};
    return $state !~ /[ZX]/;
}

sub wait_status($zerod)
{
    delete $zerod->{socket};
    $t->wait_for(sub { ($zerod->status // {version => 0})->{version} == 6 }, 10, 'the daemon');
    return $zerod->status;
}

sub end($zerod, $signal)
{
    my $pid = pid_of($zerod);
    kill $signal, $pid;
    $t->wait_for(sub { !is_there($pid) }, 10, 'its end');
    return;
}

subtest 'H2: it starts the one that is dead, and leaves the one that runs' => sub {
    my $zerod = folder('dead');
    is_deeply([restart($zerod, 0)], [2, ''], 'it is dead, and is started');
    my $status = wait_status($zerod);
    my $pid = pid_of($zerod);
    is_deeply([restart($zerod, 0)], [0, ''], 'it runs, and nothing is done') for 1 .. 3;
    is(pid_of($zerod), $pid, 'it is still the same');
    end($zerod, 'KILL');
    is_deeply([restart($zerod, 0)], [2, ''], 'it was killed, and is started again');
    isnt(pid_of($zerod), $pid, 'as another process') if wait_status($zerod);
    is($zerod->status->{uuid}, $status->{uuid}, 'of the same cluster');
    like(HA::Log->new("$zerod->{dir}/hal0.out")->text, qr/zerod\[0\]: .*leads/, 'its log is beside config.json');
    end($zerod, 'TERM');
    is_deeply([restart($zerod, 0)], [2, ''], 'so it is when it was ended in order');
    wait_status($zerod);
    end($zerod, 'TERM');
};

subtest 'many at once start one' => sub {
    my $zerod = folder('many');
    my @pids = map {call($zerod, 0)} 1 .. 12;
    my %codes;
    $codes{$t->wait_end($_) >> 8}++ for @pids;
    is_deeply(\%codes, {2 => 1, 0 => 11}, 'one of them');
    wait_status($zerod);
    end($zerod, 'TERM');
};

subtest 'a link to it works in the folder of the link' => sub {
    push @all, my $zerod = HA::Zerod->new($t, 'linked', start => 0);
    symlink HA::Test::top_srcdir() . '/tools/restartHalIfDead.sh', "$zerod->{dir}/restartHalIfDead.sh" or die "$!\n";
    is((restart($zerod, 0))[0], 2, 'it is started');
    wait_status($zerod);
    end($zerod, 'TERM');
};

subtest 'what cannot be started is said' => sub {
    my $zerod = folder('bad');
    my ($code, $said) = restart($zerod, 7);
    is($code, 1, 'an id that there is not');
    like($said, qr/^zerod: -i 7: config\.json has no such id, but 0\nrestartHalIfDead\.sh: \S+: the daemon of 7 has not been started\n\z/, 'in a sentence');
    for my $case ([], [''], ['-x'], [0, 1]) {
        ($code, $said) = restart($zerod, @$case);
        is($code, 1, "a wrong call: @$case");
        like($said, qr/^restartHalIfDead\.sh: [^\n]+\n\z/, 'in a sentence');
    }
    like((restart($zerod, '--help'))[1], qr/^  restartHalIfDead\.sh ID$/m, 'it explains itself');
    $t->write_file($zerod->{config}, "{\n");
    ($code, $said) = restart($zerod, 0);
    is($code, 1, 'a file with a mistake');
    like($said, qr/^zerod: config\.json:\d+: /, 'is named by line');
    unlink $zerod->{config};
    ($code, $said) = restart($zerod, 0);
    is($code, 1, 'no file');
    like($said, qr/^zerod: config\.json: .*No such file/, 'in a sentence');
    {
        local $ENV{ZEROD};
        my $pid = $t->spawn('programless', cmd => ["$zerod->{dir}/restartHalIfDead.sh", 0], env => {ZEROD => '/nowhere/zerod'});
        $t->may_fail($pid);
        is($t->wait_end($pid) >> 8, 1, 'no program');
        like(HA::Log->new($t->dir('programless.out'))->text, qr{^restartHalIfDead\.sh: /nowhere/zerod: there is no such program; ZEROD=PATH says where it is$}, 'in a sentence');
    }
};

subtest 'one that ends at once has not been started' => sub {
    my $zerod = folder('damaged');
    is((restart($zerod, 0))[0], 2, 'it is started');
    wait_status($zerod);
    $zerod->order('app-set', app => 'App', single => \0);
    end($zerod, 'TERM');
    for my $path (glob $zerod->data . '/raft/0*') {
        open(my $file, '+<:raw', $path) or die "$path: $!\n";
        seek $file, 20, 0;
        print $file 'damage';
        close $file;
    }
    my ($code, $said) = restart($zerod, 0);
    is($code, 1, 'its log is damaged');
    like($said, qr/^zerod: it has ended at once, hal0\.out says why\nrestartHalIfDead\.sh: /, 'and where it says so is said');
    like(HA::Log->new("$zerod->{dir}/hal0.out")->text, qr/persisted data is corrupted/, 'it does');
};

$t->done;
