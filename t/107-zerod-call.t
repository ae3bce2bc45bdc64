# SPDX-License-Identifier: Apache-2.0
# How zerod is called, from where, and what it says by itself that people would look for: that it begins,
# whom it does not reach, and that nobody knows it.
use v5.36;

use Cwd qw(getcwd);
use JSON::PP ();

use HA::Log;
use HA::Test;
use HA::Zero;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

my $t = HA::Test->new;
my $home = getcwd();

# What it prints, and how it ends.
sub zerod(@words)
{
    my $out = $t->dir('words.out');
    unlink $out;
    my $pid = $t->spawn('words', cmd => [HA::Zerod::program(), @words]);
    $t->{processes}{$pid}{may_fail} = 1;
    my $code = $t->wait_end($pid) >> 8;
    return "$code: " . HA::Log->new($out)->text;
}

subtest 'help and version' => sub {
    like(zerod($_), qr/^0: zerod -c CONFIG\.JSON -i ID .*\n  -j  .*-version/s, $_) for qw(-help --help);
    like(zerod($_), qr/^0: zerod \d+\.\d+\.\d+\n\z/, $_) for qw(-version --version);
    like(zerod('-x'), qr/^2: .*usage|^2: .*zerod -c/s, 'what there is not');
};

subtest 'paths begin in the folder of config.json' => sub {
    my $zerod = HA::Zerod->new($t, 'folder', start => 0, config => {dataDir => 'data', 'ensure-active-0' => './active', 'ensure-passive-0' => './passive'});
    for my $role (qw(active passive)) {
        my $script = $t->write_file("$zerod->{dir}/$role", "#!/bin/sh\npwd\n");
        chmod 0755, $script;
    }
    chdir '/';
    my $pid = $t->spawn('behind', cmd => [$zerod->command]);
    is($t->wait_end($pid), 0, 'it goes behind, started from /');
    chdir $home;
    my $log = HA::Log->new("$zerod->{dir}/hal0.out");
    my $says = sub ($what) { $t->wait_for(sub { $log->text =~ $what }, 10, "$what"); return pass("its log says: $what") };
    $says->(qr/zerod \d\S* begins: node 0 of Voting, by \Q$zerod->{config}\E, in \Q$zerod->{dir}\E\/data\/hal0/);
    $says->(qr/replica 0: active/);
    my ($code, $out) = zero('ha', 'output', "-c=$zerod->{config}");
    is($out, "ensure-active:\n  $zerod->{dir}\nensure-passive:\n  $zerod->{dir}\n", 'scripts run there, and zero finds it');
    my ($daemon) = (HA::Zerod::slurp("$zerod->{dir}/data/hal0/lock") // '') =~ /^(\d+)\n\z/;
    ok(kill('TERM', $daemon // 0), 'its process is in lock');
    $t->wait_for(sub { $log->text =~ /ends, told so by SIGTERM/ }, 10, 'it to end');
};

subtest 'who is not reached, and is again' => sub {
    my @two = HA::Zerod->cluster($t, 'two', n => 2, start => 0);
    $two[0]->launch;
    my $address = JSON::PP->new->decode(HA::Zerod::slurp($two[0]{config}))->{nodes}{1};
    $t->wait_for(sub { $two[0]->said =~ /\Q$address\E: cannot be reached: connection refused; it is tried again/ }, 10, 'it to say so');
    $two[1]->launch;
    my $leader = HA::Zerod::leader_of(@two);
    $t->wait_for(sub { $two[0]->said =~ /\Q$address\E: can be reached again/ }, 10, 'it to say that');
    is(() = $two[0]->said =~ /cannot be reached/g, 1, 'once');
    my ($other) = grep {$_ != $leader} @two;
    is($other->ask({ask => 'force'})->{error}, 'the other node is there, and leads: there is nothing to force', 'who hears the leader is not forced');
    $_->stop for @two;
};

subtest 'who is not known, and who has another secret' => sub {
    my @all = HA::Zerod->cluster($t, 'known', n => 1);
    my $leader = HA::Zerod::leader_of(@all);
    my $joiner = $leader->joiner('web', role => 'observer');
    $joiner->launch;
    my $what = "zero ha join -node=web -address=$joiner->{address} takes it in";
    $t->wait_for(sub { $joiner->said =~ /the cluster does not know node web, .*: \Q$what\E/ }, 20, 'it to say so');
    like($leader->order('node-set', node => 'web', address => $joiner->{address}, role => 'observer', electable => \0, raft => 2), qr/^done/, 'it is taken in');
    $t->wait_for(sub { ($joiner->map_text // '') eq $leader->map_text }, 20, 'the map');
    is(() = $joiner->said =~ /does not know/g, 1, 'and says it once');
    $joiner->stop;
    my $secret = $t->write_file('other.secret', 'other' x 8 . "\n");
    chmod 0600, $secret;
    my $config = JSON::PP->new->decode(HA::Zerod::slurp($joiner->{config}));
    $t->write_file($joiner->{config}, JSON::PP->new->encode({%$config, secretFile => $secret}));
    $joiner->launch;
    my $why = 'it has another secret: secretFile has to be the same on all nodes';
    $t->wait_for(sub { $joiner->said =~ /: cannot be reached: \Q$why\E/ }, 20, 'another secret to be said by who calls');
    $t->wait_for(sub { $leader->said =~ /connections? refused, the last one: 127\.0\.0\.1: \Q$why\E/ }, 20, 'and by who is called');
    pass('both say so');
    $_->stop for $joiner, $leader;
};

# As one is left that was killed between the number and the first term.
subtest 'who has joined once begins no log of its own without -j' => sub {
    my @all = HA::Zerod->cluster($t, 'joined', n => 1);
    my $leader = HA::Zerod::leader_of(@all);
    my $joiner = $leader->joiner('more');
    $joiner->launch;
    like($leader->order('node-set', node => 'more', address => $joiner->{address}, role => 'voter', electable => \1, raft => 2), qr/^done/, 'it joins');
    $t->wait_for(sub { -s $joiner->data . '/number' }, 20, 'its number');
    $joiner->kill;
    unlink glob $joiner->data . '/raft/*';
    $joiner->{joins} = 0;
    $joiner->launch;
    $t->wait_for(sub { ($joiner->status // {index => -1})->{index} == $leader->status->{index} }, 30, 'it to have the log');
    ok($joiner->running && $leader->running, 'both live');
    is($joiner->status->{leads} ? 1 : 0, 0, 'it does not lead a cluster of its own');
    $_->stop for $joiner, $leader;
};

$t->done;
