# SPDX-License-Identifier: Apache-2.0
# The daemon of one host, alone (O8): what it agrees on with itself is in the log before it answers,
# and stays whatever becomes of the process and of its files.
use v5.36;

use IO::Socket::UNIX;
use JSON::PP ();

use HA::Strace;
use HA::Test;
use HA::Zerod;

# A cluster, its node, who leads, its application, the member of that, and who is active.
use constant SETTLED => 6;
use constant SEGMENT_BYTES => 1 << 20;
# How often it is killed while it writes maps.
use constant ROUNDS => 15;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();
my $t = HA::Test->new;

# What the program says on its own: (exit code, text).
sub run_zerod(@arguments)
{
    my $said = qx(@{[join ' ', map {"'$_'"} HA::Zerod::program(), @arguments]} 2>&1);
    return ($? >> 8, $said);
}

subtest 'options, and a file that is only checked' => sub {
    my $good = HA::Zerod->new($t, 'checked', start => 0);
    is((run_zerod('-n', '-c', $good->{config}))[0], 0, '-n takes a good file');
    my $bad = $t->write_file('bad.json', qq({"appName":"A"\n"timeout":5000}\n));
    is_deeply([run_zerod('-n', '-c', $bad)], [1, qq(zerod: $bad:2: a comma is missing before "timeout"\n)], 'H1: and refuses a bad one by line');
    is((run_zerod('-n', '-c', '/nowhere'))[0], 3, 'one that cannot be read');
    is((run_zerod(@$_))[0], 2, "usage: @$_") for [], ['-c', $good->{config}], ['-x'], ['-n', '-c', $good->{config}, 'more'];
    my ($code, $said) = run_zerod('-c', $good->{config}, '-i', 7);
    is($code, 2, 'an id that there is not');
    like($said, qr/^zerod: -i 7: \S+ has no such id, but 0$/m, 'is named');
};

subtest 'O8: one node is a cluster, and leads it' => sub {
    my $zerod = HA::Zerod->new($t, 'alone');
    $t->wait_for(sub { ($zerod->map // {version => 0})->{version} == SETTLED }, 10, 'the map of the beginning');
    my $map = $zerod->map;
    is($map->{primary}, '0', 'it is the primary');
    is($map->{apps}[0]{name}, 'Voting', 'the application is there');
    is($map->{apps}[0]{active}, '0', 'and active here');
    my $status = $zerod->status;
    is($status->{uuid}, $map->{uuid}, 'status says the same');
    is($status->{version}, SETTLED, 'the same version');
    ok($status->{leads}, 'and who leads');
    is((stat $zerod->data . '/map')[2] & 07777, 0600, 'the map is its own');
    is((stat $zerod->data . '/control.sock')[2] & 07777, 0600, 'so is the socket');
    is($zerod->stop, 0, 'it ends when it is told to');
};

subtest 'commands, once each' => sub {
    my $zerod = HA::Zerod->new($t, 'commands');
    $t->wait_for(sub { ($zerod->status // {version => 0})->{version} == SETTLED }, 10, 'the beginning');
    is($zerod->order('app-set', app => 'App', single => \0), 'done 7', 'an application');
    my %member = (app => 'App', route => 'hostA', url => 'http://192.0.2.1:8080', weight => 1, admin => 'enabled');
    is($zerod->order('member-set', %member), 'done 8', 'its member');
    is($zerod->order('member-set', %member), 'unchanged 8', 'which is there already');
    is($zerod->order('member-set', %member, weight => 2, expect => 7), 'conflict 8: the map has version 8, not 7', 'for another version');
    is($zerod->order('member-set', %member, weight => 101), 'refused 8: App member hostA: its weight is not 1 to 100', 'beyond a rule');
    my %once = (client => 'me', seq => 1, app => 'Shop', single => \0);
    is($zerod->order('app-set', %once), 'done 9', 'a client of its own');
    is($zerod->order('app-set', %once), 'done 9', 'gets the same result again');
    is($zerod->order('app-remove', client => 'me', seq => 0, app => 'Shop'), 'repeated 9: a later command of this client was carried out already', 'and nothing for an older one');
    is($zerod->order('dance'), 'error: "dance" is no command', 'what is no command');
    is($zerod->order('app-set'), 'error: app-set: app is missing, of a wrong type, or not its own', 'or not a whole one');
    like($zerod->ask_line('nonsense'), qr/a question is an object of JSON/, 'or no question');
    like($zerod->ask_line('{"ask":"more"}'), qr/ask for status, history, output, cluster, switchover, primary, force or command/, 'or an unknown one');
    like($zerod->ask_line('{"ask":"command","command":[]}'), qr/a command is an object/, 'or none');
    is($zerod->ask_line('x' x 70_000), undef, 'a line that does not end is not waited for');
    is($zerod->status->{version}, 9, 'and others are answered');
    my ($last) = @{$zerod->ask({ask => 'history'})->{history}};
    like($last->{what}, qr/^Shop: begins, active on all members, by \w+\@0$/, 'history says who it was');
    my ($code, $said) = HA::Zerod::refusal(bless {%$zerod, name => 'second'}, 'HA::Zerod');
    is($code, 4, 'a second daemon with the same folder');
    like($said, qr/another zerod has this folder/, 'is refused');
    $t->wait_for(sub { ($zerod->map // {version => 0})->{version} == 9 }, 10, 'the map file');
    $zerod->stop;
};

subtest 'what was acknowledged survives kill -9' => sub {
    my $zerod = HA::Zerod->new($t, 'killed');
    my $uuid = $zerod->status->{uuid};
    for my $round (1 .. 10) {
        my $answered = sub { $zerod->order('app-set', app => "A$round", single => \0) =~ /^done/ };
        ok($t->wait_for($answered, 10, 'it to lead'), "round $round: an answer");
        $zerod->kill;
        $zerod->start;
        $t->wait_for(sub { $zerod->status->{index} > 0 }, 10, 'what is on disk');
        my $version = $zerod->status->{version};
        $t->wait_for(sub { ($zerod->map // {version => 0})->{version} == $zerod->status->{version} }, 10, 'the map file');
        my %there = map {$_->{name} => 1} @{$zerod->map->{apps}};
        is(join(' ', grep {!$there{"A$_"}} 1 .. $round), '', 'all of them are there');
    }
    is($zerod->status->{uuid}, $uuid, 'and it is the same cluster');
    $zerod->stop;
};

subtest 'the log is cut, and what it said is kept' => sub {
    my $zerod = HA::Zerod->new($t, 'long');
    my %member = (app => 'App', route => 'hostA', url => 'http://192.0.2.1:8080', admin => 'enabled');
    $t->wait_for(sub { ($zerod->status // {version => 0})->{version} == SETTLED }, 10, 'the beginning');
    $zerod->order('app-set', app => 'App', single => \0);
    my @bad = grep {$zerod->order('member-set', %member, weight => 1 + $_ % 100) !~ /^done/} 1 .. 1500;
    is("@bad", '', '1,500 commands are carried out');
    ok(scalar(glob $zerod->data . '/raft/snapshot-*'), 'there is a snapshot');
    my @prepared = map {-s} glob $zerod->data . '/raft/open-*';
    ok(@prepared && !grep({$_ != SEGMENT_BYTES} @prepared), 'a segment that is being written has 1 MiB') or diag("@prepared");
    is(scalar(grep {-s > SEGMENT_BYTES} glob $zerod->data . '/raft/0*'), 0, 'and none is longer');
    my $before = $zerod->status;
    $zerod->kill;
    $zerod->start;
    $t->wait_for(sub { $zerod->status->{version} >= $before->{version} }, 10, 'what is on disk');
    is($zerod->status->{version}, $before->{version}, 'the version is as it was');
    is($zerod->order('member-set', %member, weight => 1), 'unchanged ' . $before->{version}, 'and what it says');
    $zerod->stop;
};

# One with a copy of its map for a proxy, in a folder of its own: the daemon, and the copy.
sub with_copy($name)
{
    my $folder = $t->dir("$name-proxy");
    mkdir $folder or die "$folder: $!\n";
    my %node = (address => '127.0.0.1:' . $t->port, mapFile => "$folder/map");
    my $zerod = HA::Zerod->new($t, $name, config => {nodes => {0 => \%node}});
    $t->wait_for(sub { ($zerod->map // {version => 0})->{version} == SETTLED }, 10, 'the beginning');
    return ($zerod, $node{mapFile});
}

# What of these has made a file, in words.
sub steps($path, @calls)
{
    my ($folder) = $path =~ m{^(.*)/};
    my ($temporary) = map {/^rename\w*\(.*"([^"]+)".*"\Q$path\E".*= 0$/ ? $1 : ()} @calls;
    return 'it was not renamed' if !$temporary;
    my %steps = (
        'made' => qr/^open\w*\(.*"\Q$temporary\E", [^)]*O_EXCL.*= \d/,
        'written' => qr/^write\(\d+<\Q$temporary\E>, "zero-map 1 .*= \d+$/,
        'synced' => qr/^f(?:data)?sync\(\d+<\Q$temporary\E>\) += 0$/,
        'renamed' => qr/^rename\w*\(.*"\Q$temporary\E".*"\Q$path\E".*= 0$/,
        'folder opened' => qr/^open\w*\(.*"\Q$folder\E", [^)]*O_DIRECTORY.*= \d/,
        'folder synced' => qr/^fsync\(\d+<\Q$folder\E>\) += 0$/,
        'written in place' => qr/^open\w*\(.*"\Q$path\E", [^)]*O_(?:WRONLY|RDWR)/,
    );
    return join ', ', map {my $call = $_; grep {$call =~ $steps{$_}} sort keys %steps} @calls;
}

subtest 'G1: a map is made beside its place, is on disk, and then takes it' => sub {
    my $lacks = HA::Strace::lacks($t);
    plan skip_all => $lacks if $lacks;
    my ($zerod, $copy) = with_copy('traced');
    my $strace = HA::Strace->new($t, $zerod->pid, calls => [qw(open openat write fsync fdatasync rename renameat renameat2)]);
    is($zerod->order('app-set', app => 'App', single => \0), 'done ' . (SETTLED + 1), 'a change');
    my $is_there = sub { !grep {($_ // '') !~ /^zero-map \d+ \d+ \S+\n.*"version": @{[SETTLED + 1]},/s} map {HA::Zerod::slurp($_)} $zerod->data . '/map', $copy };
    $t->wait_for($is_there, 20, 'the map and its copy');
    # The answer to what comes later comes after all that.
    $zerod->status;
    my @calls = $strace->stop;
    my $right = 'made, written, synced, renamed, folder opened, folder synced';
    is(steps($_, @calls), $right, m{-proxy/} ? 'the copy of mapFile' : 'the map') for $zerod->data . '/map', $copy;
    is($zerod->stop, 0, 'it goes on untraced');
};

# Looks at files all the time, until SIGTERM, and dies of the first that is not a whole map; has a line
# for each that is new.
sub watch_maps($name, @paths)
{
    my $lines = $t->write_file("$name.seen", '');
    return $t->spawn(
        $name,
        code => sub {
            my ($ends, %seen) = (0);
            local $SIG{TERM} = sub { $ends = 1 };
            open(my $out, '>>', $lines) or die "$lines: $!\n";
            while (!$ends) {
                for my $path (@paths) {
                    my $text = HA::Zerod::slurp($path);
                    next if defined $text && $seen{$path}{$text};
                    my $whole = defined $text && eval { HA::Zerod::body_of($text); 1 };
                    $t->write_file("$name.bad", "$path: " . ($text // 'gone')) if !$whole;
                    die "$path is not whole\n" if !$whole;
                    $seen{$path}{$text} = 1;
                    syswrite $out, "$path\n";
                }
            }
        }
    );
}

# How many different maps it has seen in a place.
sub seen($name, $path)
{
    return scalar grep {$_ eq $path} split /\n/, HA::Zerod::slurp($t->dir("$name.seen"));
}

subtest 'G1: whoever looks finds a whole map, whenever the daemon is killed' => sub {
    my ($zerod, $copy) = with_copy('struck');
    my @paths = ($zerod->data . '/map', $copy);
    my $pid = watch_maps('watcher', @paths);
    my $seen = sub { return map {seen('watcher', $_)} @paths };
    $t->wait_for(sub { !grep {!$_} $seen->() }, 10, 'a look at the first ones');
    srand($ENV{HA_SEED} // 110);
    for my $round (1 .. ROUNDS) {
        my $version = $zerod->status->{version};
        my @before = $seen->();
        my $socket = IO::Socket::UNIX->new(Peer => $zerod->data . '/control.sock') or die "connect: $!\n";
        my @lines = map {JSON::PP->new->encode({ask => 'command', command => {do => 'app-set', client => "r$round", seq => $_, app => "App$_", single => $round % 2 ? \0 : \1}})} 1 .. 200;
        syswrite $socket, join '', map {"$_\n"} @lines;
        $t->wait_for(sub { ($zerod->map // {version => 0})->{version} > $version + 2 }, 10, 'the first of many changes');
        select undef, undef, undef, rand 0.1;
        $zerod->kill;
        $zerod->start;
        $t->wait_for(sub { ($zerod->status // {})->{leads} }, 10, 'it to lead again');
        my $is_seen = sub { my @now = $seen->(); defined $t->ended($pid) || !grep {$now[$_] == $before[$_]} 0, 1 };
        $t->wait_for($is_seen, 10, 'a look at one that is new, in both places');
    }
    $t->signal($pid, 'TERM');
    is($t->wait_end($pid), 0, 'every map that was there is whole by its checksum') or diag(HA::Zerod::slurp($t->dir('watcher.bad')));
    my @seen = $seen->();
    cmp_ok($seen[$_], '>', ROUNDS, "$seen[$_] different ones " . ($_ ? 'of mapFile' : 'of its own')) for 0, 1;
    $zerod->stop;
    is(HA::Zerod::slurp($copy), $zerod->map_text, 'the same is in both places');
};

subtest 'a map that is damaged or gone is written anew' => sub {
    my $zerod = HA::Zerod->new($t, 'mapless');
    $t->wait_for(sub { ($zerod->map // {version => 0})->{version} == SETTLED }, 10, 'the map');
    my $good = $zerod->map_text;
    for my $what ('damaged', 'cut', 'gone') {
        $zerod->stop;
        my $path = $zerod->data . '/map';
        $what eq 'gone' ? unlink $path : $t->write_file($path, $what eq 'cut' ? substr($good, 0, 200) : $good =~ s/Voting/Boting/r);
        $zerod->start;
        $t->wait_for(sub { ($zerod->map_text // '') eq $good }, 10, "the map that was $what");
        pass("it was $what");
    }
    like($zerod->said, qr{/map: .*; it is written anew from what is agreed on}, 'which the log says');
    $zerod->stop;
};

# A byte of a file is another one.
sub flip($path, $at)
{
    open(my $file, '+<:raw', $path) or die "$path: $!\n";
    seek $file, $at, 0;
    read $file, my $byte, 1;
    seek $file, $at, 0;
    print $file chr(ord($byte) ^ 16);
    return close $file;
}

# All that is in the folder of the log.
sub log_bytes($zerod)
{
    my @all;
    for my $path (sort glob $zerod->data . '/raft/*') {
        open(my $in, '<:raw', $path) or die "$path: $!\n";
        local $/;
        push @all, $path, <$in>;
    }
    return join "\n", @all;
}

subtest 'a log that is damaged is refused by name, and left as it is' => sub {
    my $zerod = HA::Zerod->new($t, 'damaged');
    $t->wait_for(sub { ($zerod->status // {version => 0})->{version} == SETTLED }, 10, 'the beginning');
    $zerod->order('app-set', app => 'App', single => \0);
    $zerod->stop;
    for my $path (glob $zerod->data . '/raft/0*') {
        my ($name) = $path =~ m{([^/]+)$};
        for (my $at = 0; $at < -s $path; $at += 29) {
            flip($path, $at);
            my $before = log_bytes($zerod);
            my ($code, $said) = $zerod->refusal;
            is($code, 1, "$name, byte $at is another one: it does not start");
            like($said, qr/hal0\/raft: persisted data is corrupted, .*\Q$name\E/, 'and says which file');
            ok(log_bytes($zerod) eq $before, 'and changes nothing');
            flip($path, $at);
        }
    }
    $zerod->start;
    $t->wait_for(sub { ($zerod->status // {version => 0})->{version} == SETTLED + 1 }, 10, 'all of it, when it is put right');
    $zerod->stop;
};

# A segment that was open when the process died may end in a part of an entry: libraft drops what it
# cannot read there. What was dropped had been answered, here.
subtest 'an open log that has lost entries is not gone on with' => sub {
    my $zerod = HA::Zerod->new($t, 'torn');
    $t->wait_for(sub { ($zerod->status // {version => 0})->{version} == SETTLED }, 10, 'the beginning');
    $zerod->order('app-set', app => "A$_", single => \0) for 1 .. 5;
    $t->wait_for(sub { ($zerod->map // {version => 0})->{version} == SETTLED + 5 }, 10, 'the map');
    $zerod->kill;
    my ($open) = glob $zerod->data . '/raft/open-*';
    open(my $in, '<:raw', $open) or die "$open: $!\n";
    my $bytes = do { local $/; <$in> };
    flip($open, index($bytes, '"A3"') + 1);
    my $before = log_bytes($zerod);
    my ($code, $said) = $zerod->refusal;
    is($code, 1, 'it ends');
    like($said, qr{/raft: persisted data is corrupted, .*the log ends at entry \d+, and entry \d+ was written}, 'and says why');
    ok(log_bytes($zerod) eq $before, 'and changes nothing');
    unlink $zerod->data . '/raft/reached';
    ($code, $said) = $zerod->refusal;
    is($code, 1, 'it ends, too, when that is not known any more');
    like($said, qr/the map says version 11, and the log only \d: the log has lost what was agreed on/, 'and says why');
    unlink $zerod->data . '/raft/reached', $zerod->data . '/map';
    $zerod->start;
    cmp_ok($zerod->status->{version}, '<', SETTLED + 5, 'without the map it begins with what there is');
    $zerod->stop;
};

$t->done;
