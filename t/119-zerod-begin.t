# SPDX-License-Identifier: Apache-2.0
# How a cluster begins, and who leads it: the two variables of AIStore, the rendezvous-first of those
# that are there, and daemons that start one another as HAL's do.
use v5.36;

use HA::Service;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant LEASE_MS => 2000;

my $t = HA::Test->new;

# hap_map_first: the weight of each is that of "UUID/ID".
sub weight($text)
{
    my $hash = 0xcbf29ce484222325;
    for my $byte (unpack 'C*', $text) {
        $hash ^= $byte;
        { use integer; $hash = $hash * 0x100000001b3 }
    }
    for my $factor (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53) {
        $hash ^= ($hash & ~0) >> 33;
        { use integer; $hash = $hash * $factor }
    }
    return ($hash ^ (($hash & ~0) >> 33)) & ~0;
}

sub rendezvous_first($uuid, @ids)
{
    my ($first) = sort {weight("$uuid/$b") <=> weight("$uuid/$a")} @ids;
    return $first;
}

sub begin_with($env, @zerods)
{
    local @ENV{keys %$env} = values %$env;
    $_->launch for @zerods;
    return HA::Zerod::leader_of(@zerods);
}

subtest 'G4: who leads a cluster that begins' => sub {
    my @all = HA::Zerod->cluster($t, 'named', start => 0);
    for my $id ('2', '0') {
        begin_with({AIS_PRIMARY_ID => $id}, @all);
        # Who is elected first, as the primary of the map that there is, hands the lead on.
        ok(eval { $t->wait_for(sub { HA::Zerod::leader_of(@all)->{id} eq $id }, 20, 'the lead to be handed on'); 1 }, "AIS_PRIMARY_ID=$id");
        $_->stop for @all;
    }
    is(begin_with({}, @all)->{id}, '0', 'the primary of the map that there is');
    $_->stop for @all;
    my $leader = begin_with({AIS_PRIMARY_ID => '9'}, @all);
    is($leader->{id}, '0', 'an id that is unknown is ignored');
    like($all[1]->said, qr/AIS_PRIMARY_ID=9: no such node, it is ignored/, 'and said');

    like($leader->order('node-remove', node => '2'), qr/^done/, 'node 2 leaves, and stays in config.json');
    $_->stop for @all;
    my @rest = @all[0, 1];
    is(begin_with({AIS_PRIMARY_ID => '2'}, @rest)->{id}, '0', 'an id that is in config.json, and not in the map any more, is ignored');
    for my $zerod (@rest) {
        my $said = sub { $zerod->said =~ /AIS_PRIMARY_ID=2: the map has no such node, it is ignored/ };
        ok(eval { $t->wait_for($said, 10); 1 }, "and said by $zerod->{id}");
    }
    $_->stop for @rest;
    is(begin_with({AIS_IS_PRIMARY => 'false'}, @rest)->{id}, '0', 'AIS_IS_PRIMARY=false alone changes nothing: the primary of the map leads again');
    unlike($all[0]->said_now, qr/AIS_/, 'and nothing is said of it');
    $_->stop for @rest;
};

subtest 'G4: a flag, and what contradicts' => sub {
    my @all = HA::Zerod->cluster($t, 'flag', start => 0, more => {web => {role => 'witness'}}, n => 2);
    my ($zero, $one, $web) = @all;
    { local $ENV{AIS_IS_PRIMARY} = 'true'; $one->launch }
    $t->wait_for(sub { $one->status }, 20, 'it to run');
    $_->launch for $zero, $web;
    is(HA::Zerod::leader_of(@all)->{id}, '1', 'AIS_IS_PRIMARY=true');
    { local $ENV{AIS_IS_PRIMARY} = 'true'; $zero->stop; $zero->launch }
    is(HA::Zerod::leader_of(@all)->{id}, '1', 'G10: another one with the flag does not take the lead from who has it');
    $_->stop for @all;
    { local $ENV{AIS_IS_PRIMARY} = 'true'; $zero->launch }
    $_->launch for $one, $web;
    is(HA::Zerod::leader_of(@all)->{id}, '1', 'nor from who is the primary of the map that there is');
    { local $ENV{AIS_PRIMARY_ID} = '0'; $zero->stop; $zero->launch }
    is(HA::Zerod::leader_of(@all)->{id}, '1', 'and an id does not take it from a living one');
    $_->stop for @all;
    my %wrong = (
        'AIS_IS_PRIMARY=maybe: it is true or false' => {AIS_IS_PRIMARY => 'maybe'},
        'AIS_IS_PRIMARY=true, and AIS_PRIMARY_ID=0 is another node' => {AIS_IS_PRIMARY => 'true', AIS_PRIMARY_ID => '0'},
        'node web is to be the primary, and may not lead' => {AIS_PRIMARY_ID => 'web'},
    );
    for my $why (sort keys %wrong) {
        local @ENV{keys %{$wrong{$why}}} = values %{$wrong{$why}};
        my ($code, $said) = $one->refusal;
        is("$code $said", "1 zerod: $why\n", $why);
    }
};

subtest 'G8, G9: the rendezvous-first of those that are there leads' => sub {
    my @all = HA::Zerod->cluster($t, 'five', n => 5);
    my $leader = HA::Zerod::leader_of(@all);
    my $uuid = $leader->map->{uuid};
    my @rest = grep {$_ != $leader} @all;
    $leader->kill;
    my $next = HA::Zerod::leader_of(@rest);
    is($next->{id}, rendezvous_first($uuid, map {$_->{id}} @rest), 'G8: the primary is killed');
    $t->wait_for(sub { !grep {$_->{id} eq $leader->{id}} @{$next->map->{nodes}} }, 10, 'the map without it');
    pass('the map omits the dead one');
    $leader->launch;
    $t->wait_for(sub { grep {$_->{id} eq $leader->{id}} @{$next->map->{nodes}} }, 10, 'the map with it');
    is(HA::Zerod::leader_of(@all)->{id}, $next->{id}, 'G13: it comes back, and does not lead again by itself');

    my @without = grep {$_ != $next} @all;
    my $second = rendezvous_first($uuid, map {$_->{id}} @without);
    my ($heir) = grep {$_->{id} eq $second} @without;
    $_->kill for $next, $heir;
    my @three = grep {$_ != $heir} @without;
    my $third = HA::Zerod::leader_of(@three);
    is($third->{id}, rendezvous_first($uuid, map {$_->{id}} @three), 'G9: the primary and the next one are killed at once');
    $_->stop for @three;
};

subtest 'G6: all begin again, with maps of three versions' => sub {
    my @all = HA::Zerod->cluster($t, 'cold', n => 5);
    my @run = @all;
    my %versions;
    for my $round (1 .. 3) {
        my $leader = HA::Zerod::leader_of(@run);
        like($leader->order('app-set', app => "A$round", single => \0), qr/^done/, "A$round");
        HA::Zerod::leader_of(@run);
        my @stop = $round < 3 ? (grep {$_ != $leader} @run)[0] : @run;
        $_->kill for @stop;
        $versions{$_->map->{version}} = 1 for @stop;
        @run = grep {my $zerod = $_; !grep {$_ == $zerod} @stop} @run;
    }
    my ($highest) = sort {$b <=> $a} keys %versions;
    cmp_ok(scalar keys %versions, '>=', 3, 'they were killed one after the other, between commands: ' . join ' ', sort {$a <=> $b} keys %versions);
    $_->launch for @all;
    $t->wait_for(sub { my $leader = HA::Zerod::leader_of(@all); $leader->map->{version} > $highest }, 30, 'a map with a version above all');
    my $next = HA::Zerod::leader_of(@all);
    my $map = $next->map;
    cmp_ok($map->{version}, '>', $highest, 'one map, with a version above all');
    is(join(' ', map {$_->{name}} @{$map->{apps}}), 'A1 A2 A3 Voting', 'and the content of the highest');
    is(scalar(grep {$_->status->{leads}} @all), 1, 'one leads');
    $t->wait_for(sub { @{$next->map->{nodes}} == 5 }, 10, 'all nodes in the map');
    pass('and all nodes are in it');
    $_->stop for @all;
};

subtest 'G6: one of three has the folder of another cluster' => sub {
    my @ours = HA::Zerod->cluster($t, 'ours');
    HA::Zerod::leader_of(@ours)->order('app-set', app => 'Ours', single => \0);
    my $uuid = HA::Zerod::leader_of(@ours)->map->{uuid};
    my $nodes = $ours[0]->config_of->{nodes};
    $_->stop for @ours;
    my @theirs = HA::Zerod->cluster($t, 'theirs', config => {nodes => $nodes});
    HA::Zerod::leader_of(@theirs)->order('app-set', app => 'Theirs', single => \0);
    HA::Zerod::leader_of(@theirs);
    $_->stop for @theirs;
    my $stranger = $theirs[2];
    my $before = $stranger->map_text;
    my $other = $stranger->map->{uuid};
    isnt($other, $uuid, 'two clusters, at the same addresses');

    my @two = @ours[0, 1];
    $_->launch for $stranger, @two;
    my $leader = HA::Zerod::leader_of(@two);
    my $version = $leader->map->{version};
    my $named = sub { grep {/\Q$uuid\E/ && /\Q$other\E/} map {split /\n/, $_->said_now} @two, $stranger };
    ok(eval { $t->wait_for($named, 20); 1 }, 'it is refused, in a line of a log that names both');
    like($leader->order('app-set', app => 'More', single => \0), qr/^done/, 'the two go on');
    $t->wait_for(sub { $leader->map->{version} > $version }, 10, 'their map to say so');
    is($stranger->map_text, $before, 'its map is as it was');
    ok(!$stranger->status->{leads}, 'and it does not lead');
    HA::Zerod::leader_of(@two);
    for my $zerod (@two) {
        is($zerod->map->{uuid}, $uuid, "$zerod->{id} is of its cluster");
        is(join(' ', sort map {$_->{name}} @{$zerod->map->{apps}}), 'More Ours Voting', 'and has none of the applications of the other one');
    }
    $_->stop for @two, $stranger;
};

# Processes of daemons that others have started: by their configuration, which is this test's own.
sub daemons_of($config)
{
    return grep {(HA::Zerod::slurp("/proc/$_/cmdline") // '') =~ /zerod\0-c\0\Q$config\E\0/} map {m{(\d+)$}} glob '/proc/[0-9]*';
}

subtest 'H3, H10: starting one is enough' => sub {
    my $service = HA::Service->new($t, 'hal');
    my $dir = $t->dir('hal-data');
    mkdir $dir or die "$dir: $!\n";
    my $config = $t->dir('hal.json');
    my @all = HA::Zerod->cluster(
        $t, 'hal', start => 0, service => $service,
        config => {timeout => 2000, dataDir => $dir, map {("restart-hal-$_" => ['/bin/sh', '-c', "cd $dir && exec " . HA::Zerod::program() . " -c $config -i $_"])} 0 .. 2}
    );
    $t->write_file($config, HA::Zerod::slurp($all[1]{config}));
    for my $zerod (@all) {
        $zerod->{config} = $config;
        $zerod->{dir} = $dir;
    }
    my ($zero, $one, $two) = @all;
    $one->launch;
    $t->wait_for(sub { 3 == grep {$_->status} @all }, 40, 'the others');
    pass('the others are started');
    $t->wait_for(sub { join(' ', map {$_->role} @all) eq 'passive active passive' }, 30, 'one active, two passive');
    is(join(' ', $service->alive), '1', 'the one that was started by hand is active');
    my ($victim) = grep {(HA::Zerod::slurp("/proc/$_/cmdline") // '') =~ /\0-i\0002\0/} daemons_of($config);
    kill 'KILL', $victim;
    $t->wait_for(sub { my ($again) = grep {(HA::Zerod::slurp("/proc/$_/cmdline") // '') =~ /\0-i\0002\0/} daemons_of($config); $again && $again != $victim && $two->status }, 30, 'it to be started again');
    pass('one that was killed is started again');
    is($service->overlap_ms, 0, 'never two at once');
    kill 'TERM', daemons_of($config);
    $t->wait_for(sub { !daemons_of($config) }, 10, 'the end of all');
    $t->wait_end($one->{pid});
    $service->kill_all;
};

# The script writes down when it begins, and hangs: attempts are 2, 4, 8 s apart, but one that comes
# while the last one runs is none.
subtest 'H10: restarting a peer never blocks, and backs off' => sub {
    my $tries = $t->dir('tries');
    my $script = q(echo $(cut -d' ' -f1 /proc/uptime) $$ >>"$0"; exec sleep 1000);
    my @all = HA::Zerod->cluster($t, 'hangs', start => 0, config => {timeout => LEASE_MS, scriptTimeout => 3000, 'restart-hal-2' => ['/bin/sh', '-c', $script, $tries]});
    my $leader = begin_with({AIS_PRIMARY_ID => '0'}, @all);
    is($leader->{id}, '0', 'another one leads');
    my $app = sub { return (grep {$_->{name} eq 'Voting'} @{$leader->map->{apps}})[0] };
    my $tried = sub { return map {[split ' ']} split /\n/, HA::Zerod::slurp($tries) // '' };
    my $run = sub { return scalar grep {(HA::Zerod::slurp("/proc/$_->[1]/stat") // ') Z') !~ /\) Z/} $tried->() };
    $t->wait_for(sub { defined $app->()->{active} && !$run->() }, 20, 'an active replica, and nobody being started');
    $leader->ask({ask => 'switchover', to => '1'}) if $app->()->{active} eq '2';
    $t->wait_for(sub { ($app->()->{active} // '2') ne '2' }, 20, 'another one to be active');
    my ($epoch, $term, $early) = ($app->()->{epoch}, $leader->status->{term}, scalar(my @before = $tried->()));
    $all[2]->kill;
    my ($slowest, $most, $n, @bad) = (0, 0, 0);
    my $command = sub {
        my $since = HA::Service::now_ms();
        my $answer = $leader->order('app-set', app => 'App', single => $n++ % 2 ? \0 : \1);
        my $took = HA::Service::now_ms() - $since;
        my $now = $run->();
        $slowest = $took if $took > $slowest;
        $most = $now if $now > $most;
        push @bad, $answer if $answer !~ /^(?:done|unchanged) /;
        return $tried->() >= $early + 3;
    };
    $t->wait_for($command, 60, 'three attempts');
    my @at = map {$_->[0] * 1000} $tried->();
    my @gaps = map {$at[$_ + 1] - $at[$_]} $early, $early + 1;
    note("attempts @gaps ms apart, $n commands, the slowest one took $slowest ms");
    is("@bad", '', 'commands go on');
    cmp_ok($slowest, '<', 2000, 'and none waits for the script');
    is($most, 1, 'never two of them run at once');
    cmp_ok(scalar(() = $leader->said =~ /replica 2: restart-hal-2: no end within \d+ ms/g), '>=', 2, 'scriptTimeout ends them');
    cmp_ok($gaps[0], '>', LEASE_MS, 'they are more than a lease apart');
    cmp_ok($gaps[1], '>', $gaps[0] + LEASE_MS / 2, 'further and further');
    is($app->()->{epoch}, $epoch, 'the lease stays where it is');
    is($leader->status->{term}, $term, 'and so does the lead');
    $_->stop for @all[0, 1];
    is($run->(), 0, 'a daemon that ends leaves no such script over');
};

$t->done;
