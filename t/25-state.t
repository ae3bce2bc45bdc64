# SPDX-License-Identifier: Apache-2.0
# HAStateFile: what comes back after a stop and after a crash, what does not, and what happens when
# the file cannot be written or read.
use v5.36;

use Time::HiRes qw(time);

use HA::Manager;
use HA::Test;

my $t = HA::Test->new;
my %app = map {$_ => $t->app($_)} qw(hostA hostB hostC hostD hostE);
# A long interval: nothing is probed unless a request had trouble, and verdicts are worth long.
my $rarely = 'interval=30s timeout=500ms rise=1 fall=1';
my $tmpfs = $t->dir('tmpfs');
my $mounted = mount_small($tmpfs);

# A folder of 64 KB of its own; false when this user may not have one.
sub mount_small($dir)
{
    mkdir $dir;
    return $> == 0 && system("mount -t tmpfs -o size=64k tmpfs '$dir' 2>/dev/null") == 0;
}

END {
    local $?;
    system("umount '$tmpfs'") if $mounted;
}

# Options: names => [...]; check => keys of HACheck; state => HAStateFile; more => text; of =>
# {hostB => 'status=+D'}.
sub config(%opt)
{
    my %of = %{$opt{of} // {}};
    my ($check, $state) = ($opt{check} // $rarely, $opt{state} // 'state');
    my @names = @{$opt{names} // [qw(hostA hostB hostC hostD)]};
    my $members = join "\n",
        map {qq(BalancerMember "${\$app{$_}->url}" route=$_ ) . ($of{$_} // '')} @names;
    return <<~"END" . ($opt{more} // '');
        <Proxy "balancer://App">
            $members
            ProxySet stickysession=zsessionid
        </Proxy>
        ProxyPass        "/App" "balancer://App/App"
        HABalancer App
        HACheck    App uri=/App/health $check
        HAStateFile $state
        <Location "/manager">
            SetHandler balancer-manager
        </Location>
        END
}

sub server(%opt)
{
    return $t->httpd(
        haproxy => 1,
        modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests)],
        config => config(%opt),
        %opt{grep {exists $opt{$_}} 'name', 'start'},
    );
}

sub order($server, $name, $what, $on = 1)
{
    $server->settle;
    $t->mark;
    HA::Manager->new(port => $server->port)->tell('App', $app{$name}->url, $what, $on);
    $t->wait_for(qr/member $name: \w+ -> \w+, by an operator/);
    return;
}

# Kills an instance and lets a request of its session find that out.
sub lose($server, $name)
{
    $app{$name}->kill if $app{$name}->running;
    $t->expect_log(qr/AH00957|AH01114/);
    $t->mark;
    who($server, $name);
    $t->wait_for(qr/member $name: \w+ -> down, connect refused/);
    return;
}

sub who($server, $route)
{
    my @session = (headers => {Cookie => "zsessionid=session1.$route"});
    my $r = $t->client(port => $server->port, cookies => 0)->get('/App/plain', @session);
    return $r->instance // 'status ' . $r->status;
}

sub shares($server)
{
    return spread($t->client(port => $server->port, cookies => 0), '/App/plain', 12);
}

# Stops it, changes the configuration if there is one, and starts it.
sub again($server, %opt)
{
    $server->stop if $server->running;
    $server->write_config(config(%opt));
    $server->start;
    return;
}

sub content($path)
{
    open(my $in, '<:raw', $path) or return undef;
    local $/;
    return scalar <$in>;
}

# The saved line of a member, without times.
sub saved($server, $name)
{
    my ($line) = grep {/route="$name"/} split /\n/, content($server->root . '/state') // '';
    return ($line // 'not there') =~ s/^member app="App" | (?:\S+-since|checked)=\d+//gr;
}

my $proxy = server();
my $crash = server(name => 'crash');
my @nowhere = map {server(name => $_, state => 'nowhere/state')} qw(never later);

# The parent writes what changed within about ten seconds; these meanwhile.
order($_, 'hostB', 'drain') for $crash, @nowhere;
lose($_, 'hostD') for $crash, @nowhere, $proxy;

subtest 'a stop and a start at once change nothing' => sub {
    order($proxy, 'hostB', 'drain');
    is(shares($proxy), 'hostA:6 hostC:6', 'one is drained and one is down');
    $proxy->stop;
    is((stat $proxy->root . '/state')[2] & 07777, 0600, 'the file is for nobody else');
    like(saved($proxy, 'hostB'), qr/admin=drain origin=operator configured=enabled/, 'the drain');
    like(saved($proxy, 'hostD'), qr/health=down .*health-why="connect refused"/, 'the verdict');
    $proxy->start;
    ok($t->wait_for(qr/HAStateFile \S+: 4 members. states are back/), 'said at the start');
    my $tries = $proxy->log->count(qr/AH00957/);
    is(shares($proxy), 'hostA:6 hostC:6', 'still one is drained and one is down');
    is(who($proxy, 'hostB'), 'hostB', 'the drained one keeps its sessions');
    like(who($proxy, 'hostD'), qr/^host[AC]$/, 'sessions of the lost one move');
    again($proxy);
    is(shares($proxy), 'hostA:6 hostC:6', 'and so it is after the next start');
    is($proxy->log->count(qr/AH00957/), $tries, 'nobody tried the lost one again');
};

subtest 'an edited configuration wins over what was saved' => sub {
    again($proxy, of => {hostB => 'status=+D'});
    like(who($proxy, 'hostB'), qr/^host[AC]$/, '+D: it takes nothing, whatever the operator said');
    order($proxy, 'hostB', 'disable', 0);
    is(who($proxy, 'hostB'), 'hostB', 'an operator enables it');
    again($proxy, of => {hostB => 'status=+D'});
    is(who($proxy, 'hostB'), 'hostB', 'not edited: his word stays');
    again($proxy, of => {hostB => 'status=+N'});
    is(shares($proxy) . ', session on ' . who($proxy, 'hostB'), 'hostA:6 hostC:6, session on hostB',
        '+N: it drains');
    again($proxy);
    is(shares($proxy), 'hostA:4 hostB:4 hostC:4', 'nothing: it is enabled');
    $proxy->write_config(config(of => {hostB => 'status=+D'}));
    $proxy->graceful;
    like(who($proxy, 'hostB'), qr/^host[AC]$/, 'an edit counts over a graceful restart as well');
    again($proxy);
    is(shares($proxy), 'hostA:4 hostB:4 hostC:4', 'and back');
};

# The flags of status= that balancer-manager shows: "Drn Stby".
sub flags($server, $name)
{
    my $shown = HA::Manager->new(port => $server->port)->flags('App', $app{$name}->url);
    return join ' ', grep {/^(?:Drn|Dis|Stop|Stby)$/} split / /, $shown;
}

subtest 'flags that do not contradict an operator stay as they are configured' => sub {
    my @names = (names => [qw(hostA hostB hostC)]);
    my %of = (hostB => 'status=+S', hostC => 'status=+N+H');
    my $server = server(name => 'flags', @names, of => \%of);
    my $all = sub { join ', ', map {flags($server, $_)} qw(hostB hostC) };
    is($all->(), 'Stop, Drn Stby', 'nobody said anything');
    $server->graceful;
    is($all->(), 'Stop, Drn Stby', 'nor has a restart');
    order($server, 'hostC', 'drain', 0);
    again($server, @names, of => \%of);
    is($all->(), 'Stop, Stby', 'an operator ended the drain: what is left is a standby');
    order($server, 'hostC', 'standby', 0);
    $server->graceful;
    is($all->(), 'Stop, ', 'he wants it to serve');
    $of{hostC} = 'status=+H';
    again($server, @names, of => \%of);
    order($server, 'hostC', 'drain');
    again($server, @names, of => \%of);
    is($all->(), 'Stop, Drn Stby', 'a standby that drains is a standby still');
    $server->settle;
    $t->mark;
    HA::Manager->new(port => $server->port)->tell('App', $app{hostC}->url, 'drain', 0);
    ok($t->wait_for(qr/member hostC: drain -> standby, by an operator/), 'and one afterwards');
    $server->stop;
};

subtest 'a file with more members than there is room for now still counts' => sub {
    my $more = join "\n", '<Proxy "balancer://Other">',
        (map {"BalancerMember http://127.0.0.1:$_ route=m$_"} 1 .. 20),
        '</Proxy>', 'HABalancer Other affinity=none', '';
    order($proxy, 'hostB', 'drain');
    again($proxy, more => $more);
    again($proxy, more => "HAMaxMembers 16\n");
    is(shares($proxy), 'hostA:6 hostC:6', 'what it says of the members that stayed');
    order($proxy, 'hostB', 'drain', 0);
};

subtest 'a verdict older than its window is unknown' => sub {
    my $quick = 'interval=100ms timeout=50ms rise=1 fall=1';
    my @names = (names => [qw(hostA hostE)]);
    my $other = server(name => 'quick', check => $quick, @names);
    $t->kill('hostE');
    $t->wait_for(qr/member hostE: \w+ -> down/);
    $other->stop;
    $t->start('hostE');
    my $saved = (stat $other->root . '/state')[9];
    $t->wait_for(sub { time > $saved + 1.2 });
    again($other, check => 'interval=1h rise=100', @names);
    is(shares($other), 'hostA:6 hostE:6', 'it may serve before any probe');
    $other->stop;
    like(saved($other, 'hostE'), qr/health=unknown/, 'and is unknown in the file');
};

subtest 'a damaged file is named, set aside and begun anew' => sub {
    order($proxy, 'hostB', 'drain');
    $proxy->stop;
    my $path = $proxy->root . '/state';
    my $good = content($path);
    my $flip = sub ($at) { my $text = $good; substr($text, $at, 1) ^.= "\x04"; $text };
    my $head = index $good, "\n";
    my %damaged = (
        'empty' => '',
        'cut in its first line' => substr($good, 0, 20),
        'cut behind its first line' => substr($good, 0, $head + 1),
        'cut by a byte' => substr($good, 0, -1),
        'with a flipped bit in its version' => $flip->(11),
        'with a flipped bit in its sum' => $flip->($head - 10),
        'with a flipped bit in a member' => $flip->(index($good, 'admin=drain') + 6),
        'with something behind its end' => $good . 'x',
    );
    $t->expect_log(qr/HAStateFile .* was set aside as /);
    for my $how (sort keys %damaged) {
        unlink "$path.corrupt";
        $t->write_file($path, $damaged{$how});
        $t->mark;
        $proxy->start;
        $t->wait_for(qr/haproxy:error.* HAStateFile \Q$path\E:\d+: .+; it was set aside/);
        like(shares($proxy), qr/hostB/, "$how: all begin as configured");
        is(content("$path.corrupt"), $damaged{$how}, "$how: what there was is kept");
        $proxy->stop;
        like(saved($proxy, 'hostB'), qr/admin=enabled/, "$how: a good one is written");
    }
};

subtest 'a file of an impossible size is named and replaced' => sub {
    my $path = $proxy->root . '/state';
    truncate $path, 65 << 20 or die "$path: $!\n";
    $t->expect_log(qr/HAStateFile \Q$path\E: not read: /);
    $t->mark;
    $proxy->start;
    ok($t->wait_for(qr/haproxy:error.* HAStateFile \Q$path\E: not read: has 68157440 bytes, at most 67108864/),
        'the log says why');
    like(shares($proxy), qr/hostB/, 'all begin as configured');
    $proxy->stop;
    like(saved($proxy, 'hostB'), qr/admin=enabled/, 'a good one is written');
};

subtest 'a link in place of the file leads nowhere else' => sub {
    my $path = $proxy->root . '/state';
    my $other = $t->write_file('somebody-elses', "not ours\n");
    chmod 0644, $other;
    unlink $path;
    $proxy->start;
    symlink $other, $path or die "$path: $!\n";
    order($proxy, 'hostB', 'drain');
    $proxy->stop;
    ok(!-l $path && -f $path, 'the link is replaced');
    is(content($other), "not ours\n", 'what it led to has its content');
    is((stat $other)[2] & 07777, 0644, 'and its mode');
    $proxy->start;
    order($proxy, 'hostB', 'drain', 0);
    $proxy->stop;
};

subtest 'a file that others may write is closed to them again' => sub {
    my $path = $proxy->root . '/state';
    chmod 0666, $path;
    $proxy->start;
    order($proxy, 'hostB', 'drain');
    $proxy->stop;
    is((stat $path)[2] & 07777, 0600, 'when it is written');
    is(join(' ', sort map {s{.*/}{}r} glob $proxy->root . '/{.hap*,state*}'), 'state state.corrupt',
        'no temporary file is left');
};

subtest 'a full disk leaves the old file and the service alone' => sub {
    plan skip_all => 'needs to mount a small file system' if !$mounted;
    my $path = "$tmpfs/state";
    my $full = server(name => 'full', state => $path);
    order($full, 'hostB', 'drain');
    $full->graceful;
    my $old = content($path);
    like($old, qr/admin=drain/, 'saved while there is room');
    open(my $fill, '>', "$tmpfs/fill") or die "$tmpfs/fill: $!\n";
    1 while syswrite $fill, 'x' x 4096;
    order($full, 'hostB', 'drain', 0);
    $t->expect_log(qr/HAStateFile \Q$path\E: not saved: .*No space left/);
    $t->mark;
    $full->graceful;
    ok($t->wait_for(qr/HAStateFile \Q$path\E: not saved: .*No space left/), 'then it is said');
    is(content($path), $old, 'the old file is whole');
    like(shares($full), qr/hostB/, 'and requests are served');
    unlink "$tmpfs/fill";
    close $fill;
    $full->stop;
    like(content($path), qr/route="hostB" admin=enabled origin=operator/, 'with room it is saved');
    is(join(' ', map {s{.*/}{}r} glob "$tmpfs/{.hap*,*}"), 'state', 'and nothing else is left');
    system("umount '$tmpfs'");
    $mounted = 0;
};

subtest 'after a crash the members are as they were a moment before' => sub {
    $t->wait_for(sub { saved($crash, 'hostD') =~ /health=down/ }, 20, 'a file');;
    like(saved($crash, 'hostB'), qr/admin=drain/, 'the running server saves by itself');
    my ($parent, @children) = ($crash->pid, $crash->children);
    $t->signal($parent, 'KILL');
    kill KILL => @children;
    $t->wait_end($parent);
    my $list = sub { HA::Test::process_list() };
    $t->wait_for(sub { my $l = $list->(); !grep {$l->{$_}} @children }, 15, 'the end of all');
    $t->expect_log(qr/AH00098: pid file .* overwritten/);
    again($crash);
    is(shares($crash), 'hostA:6 hostC:6', 'drained and down');
    is(who($crash, 'hostB'), 'hostB', 'with its sessions');
};

subtest 'a folder that is not there is told once, and filled when it is' => sub {
    my $complaint = qr{HAStateFile \S+nowhere/state: not saved: };
    my $warning = qr{HAStateFile \S+nowhere/state: its folder \S+nowhere/ cannot be written, so no state is kept};
    $t->expect_log($complaint, $warning);
    for my $server (@nowhere) {
        is($server->log->count($warning), 1, 'the start warns');
        $t->wait_for(sub { $server->log->count($complaint) }, 20, 'a complaint');
        is(shares($server), 'hostA:6 hostC:6', 'requests are served');
    }
    my ($never, $later) = @nowhere;
    $never->stop;
    is($never->log->count($complaint), 1, 'the last try, at a stop, is as vain and says nothing');
    mkdir $later->root . '/nowhere';
    $t->wait_for(sub { -s $later->root . '/nowhere/state' }, 20, 'the file');
    ok($t->wait_for(qr{HAStateFile \S+nowhere/state: saved again}), 'one line when it is over');
    is($later->log->count($complaint), 1, 'and one when it began');
};

$t->done;
