# SPDX-License-Identifier: Apache-2.0
# The harness itself, on two instances behind the stock balancer of the distribution's httpd.
use v5.36;

use Digest::SHA qw(sha256_hex);
use Time::HiRes qw(time);

use HA::History;
use HA::Maps;
use HA::Service;
use HA::Test;

my $t = HA::Test->new;
my $a = $t->app('hostA');
my $b = $t->app('hostB');
my $proxy = $t->httpd(
    modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests)],
    config => <<~"END",
        <Proxy "balancer://App">
            BalancerMember "${\$a->url}" route=hostA retry=1
            BalancerMember "${\$b->url}" route=hostB retry=1
            ProxySet stickysession=zsessionid
        </Proxy>
        ProxyPass        "/App" "balancer://App/App"
        ProxyPassReverse "/App" "balancer://App/App"
        END
);

# The stock policy makes up for what an instance missed, so after a fault the halves are not even.
my $both = qr/^hostA:\d+ hostB:\d+$/;

sub visits($response)
{
    return $response->body =~ /^(\w+) visits=(\d+) / ? "$1:$2" : $response->status;
}

subtest 'requests without a session are spread evenly' => sub {
    is(spread($t, '/App/', 30), 'hostA:15 hostB:15', 'half and half');
};

subtest 'a session sticks to its instance until that is killed' => sub {
    my $client = $t->client;
    $client->set_cookie('zsessionid', 'session1.hostA', '/App');
    my $seen = join ' ', map {visits($client->get('/App/'))} 1 .. 3;
    is($seen, 'hostA:1 hostA:2 hostA:3', 'one instance counts');

    my $new = $t->client;
    my $first = $new->get('/App/');
    my $route = $first->instance;
    like($new->cookie('zsessionid'), qr/^[0-9a-f]{32}\.$route$/, 'a cookie names the instance');
    is(visits($new->get('/App/')), "$route:2", 'and leads back to it');

    $t->kill('hostA');
    $t->expect_log(qr/AH(?:00957|00959|01114|01102|00898|01110|01106|01109|10\d+)/);
    is(spread($t, '/App/', 10), 'hostB:10', 'a dead instance gets nothing');
    my $address = $a->address;
    ok($t->wait_for(qr/AH00957: .*attempt to connect to $address/), 'the log says so');
    my $moved = $client->get('/App/');
    is(visits($moved), 'hostB:1', 'the other instance adopts the session');
    is($moved->header('Set-Cookie'), undef, 'and leaves its route to the proxy');
    my ($id) = $client->cookie('zsessionid') =~ /^(\w+)\.hostA$/;
    is($b->sessions->{$id}, 1, 'under the same id');

    $t->start('hostA');
    ok($t->wait_for(sub { spread($t, '/App/', 10) =~ $both }), 'it is back and gets its share');
};

subtest 'bodies pass unharmed in both directions' => sub {
    my $client = $t->client;
    my $body = HA::Client::content(3_000_000);
    my $expected = 3_000_000 . ' ' . sha256_hex($body) . "\n";
    is($client->post('/App/upload', $body)->body, $expected, 'up with a length');
    my @chunks = unpack '(a70000)*', $body;
    is($client->request(PUT => '/App/upload', chunks => \@chunks)->body, $expected, 'up in chunks');
    ok($client->get('/App/bytes?n=3000000')->body eq $body, 'down with a length');
    my $chunked = $client->get('/App/chunked?n=300000&chunk=777');
    ok($chunked->body eq HA::Client::content(300_000), 'down in chunks');

    my $head = $client->head('/App/bytes?n=12345');
    is($head->header('Content-Length') . $head->body, '12345', 'HEAD has a length and no body');
    is($client->get('/App/plain')->status, 200, 'and the connection goes on');
    is($client->retried, 0, 'all on one connection');
};

subtest 'the ledger proves that a request came once' => sub {
    $_->ledger_clear for $a, $b;
    my $client = $t->client;
    $client->post('/App/upload?x=1', 'abc', headers => {'X-Request-Tag' => 'order 1'});
    my @seen = grep {$_->{tag} eq 'order?1'} $a->ledger, $b->ledger;
    is(scalar @seen, 1, 'in one ledger only');
    my $line = join ' ', @{$seen[0]}{qw(method path length phase)};
    is($line, 'POST /App/upload?x=1 3 answered', 'with all of it');
};

subtest 'faults of an instance are seen through the proxy' => sub {
    my $client = $t->client(cookies => 0);
    my @to_a = (headers => {Cookie => 'zsessionid=session2.hostA'});

    $a->slow(200);
    my $begin = time;
    is($client->get('/App/plain', @to_a)->instance, 'hostA', 'slow: still answered');
    cmp_ok(time - $begin, '>=', 0.2, 'slow: but later');
    $a->slow(0);

    $a->hang;
    ok($client->send($client->format_request(GET => '/App/plain', @to_a)), 'hang: sent');
    $t->wait_for(sub { $a->count->{hanging} == 1 });
    is($client->read_raw(timeout => 0.05), '', 'hang: no answer');
    is($a->client->get('/App/health')->status, 200, 'hang: its health is good');
    $a->release;
    is($client->read_response->status, 200, 'hang: answered when released');

    $a->reset('head', 1);
    is($client->get('/App/plain', @to_a)->status, 502, 'reset in the head: a bad gateway');
    $a->reset('body', 1);
    my $cut = $client->get('/App/bytes?n=1000000', @to_a);
    like($cut->error, qr/closed within the body|Connection reset/, 'reset in the body: cut short');
    is($client->get('/App/plain', @to_a)->status, 200, 'both wear off');

    $a->status(503, 2);
    my $seen = join ' ', map {$client->get('/App/plain', @to_a)->status} 1 .. 3;
    is($seen, '503 503 200', 'status: for two answers');

    $a->refuse;
    $a->close_idle;
    is(spread($t, '/App/', 6), 'hostB:6', 'refuse: the other one serves');
    $a->accept;
    ok($t->wait_for(sub { spread($t, '/App/', 6) =~ $both }), 'accept: both');

    $a->health('fail');
    is($a->client->get('/App/health')->status, 503, 'health: fails on command');
    is($client->get('/App/plain', @to_a)->status, 200, 'health: requests do not');
    $a->health('ok');
    is($_->count->{malformed}, 0, 'nothing malformed reached ' . $_->name) for $a, $b;
};

subtest 'a barrier holds requests until all of them are there' => sub {
    $a->barrier_hold;
    my @to_a = (headers => {Cookie => 'zsessionid=session3.hostA'});
    my $load = $t->load(path => '/App/plain', rate => 500, count => 20, @to_a);
    $a->barrier_wait(20);
    is($load->progress, 0, 'nobody is answered');
    $a->barrier_open;
    is($load->wait->{ok}, 20, 'then all are');
};

subtest 'a load keeps its pace' => sub {
    $_->ledger_clear for $a, $b;
    my $result = $t->load(path => '/App/plain', rate => 500, count => 500, tag => 'n')->wait;
    is("$result->{ok} ok, $result->{failed} failed", '500 ok, 0 failed', 'all answered')
        or diag explain $result;
    cmp_ok($result->{seconds}, '<', 1.5, '500 in about a second');
    my %tags = map {$_->{tag} => 1} $a->ledger, $b->ledger;
    is(scalar keys %tags, 500, 'each seen under its own tag');
    note("late $result->{late_ms} ms, p50 $result->{p50_ms} ms, p99 $result->{p99_ms} ms");
};

subtest 'an instance that stands still does not hold up a paced load' => sub {
    my $load = $t->load(path => '/App/plain', rate => 200, count => 100, port => $b->port);
    $load->wait_progress(20);
    $b->pause;
    $t->wait_for(sub { $load->progress < 100 });
    $b->resume;
    is($load->wait->{ok}, 100, 'all are answered once it goes on');
};

subtest 'the server can be restarted in all ways' => sub {
    my @before = $proxy->children;
    $proxy->graceful;
    like(spread($t, '/App/plain', 6), $both, 'graceful');
    # A child of httpd's that ends gracefully may crash when it is told to end at once as well.
    $proxy->settle;
    $proxy->restart;
    like(spread($t, '/App/plain', 6), $both, 'restart');
    my @killed = $proxy->kill_children;
    cmp_ok(scalar @killed, '>', 0, 'children were killed');
    like(spread($t, '/App/plain', 6), $both, 'and replaced');
    $proxy->stop;
    is($t->client->get('/App/plain')->status, 0, 'stop');
    $proxy->start;
    like(spread($t, '/App/plain', 6), $both, 'start');
    ok(($proxy->check)[0], 'the configuration is good');
};

for my $mpm (qw(worker prefork)) {
    subtest "$mpm serves as well" => sub {
        my $other = $t->httpd(
            mpm => $mpm,
            ports => 2,
            modules => [qw(proxy proxy_http)],
            config => qq(ProxyPass "/App" "${\$a->url}/App"\nDefine SECOND \@PORT2\@\n),
        );
        for my $n (1, 2) {
            my $client = $t->client(port => $other->port($n));
            is($client->get('/App/plain')->instance, 'hostA', "port $n");
        }
        $other->graceful_stop;
        ok(!$other->running, 'and ends gracefully');
    };
}

subtest 'an instance can speak TLS' => sub {
    my ($cert, $key) = map {$t->dir("tls.$_")} qw(cert key);
    my $said = qx(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \\
        -subj /CN=localhost -keyout $key -out $cert 2>&1);
    is($?, 0, 'a certificate') or diag $said;
    my $c = $t->app('hostC', tls => [$cert, $key]);
    my $other = $t->httpd(
        modules => [qw(proxy proxy_http ssl socache_shmcb)],
        config => <<~"END",
            SSLSessionCache "shmcb:\@ROOT\@/run/tls(512000)"
            SSLProxyEngine On
            SSLProxyCheckPeerName Off
            ProxyPass "/App" "${\$c->url}/App"
            END
    );
    my $client = $t->client(port => $other->port);
    is($client->get('/App/plain')->instance, 'hostC', 'a page');
    ok($client->get('/App/bytes?n=500000')->body eq HA::Client::content(500_000), 'a large body');
    $other->stop;
};

# What the thread sanitizer says of two accesses.
sub race($who, $first, $second)
{
    my $line = '=' x 18 . "\n";
    return <<~"END";
        ${line}WARNING: ThreadSanitizer: data race (pid=1)
          Write of size 8 at 0x7f00 by thread T2:
            $first

          Previous read of size 8 at 0x7f00 by thread T1:
            $second

          Thread T2 (tid=3, running) created by thread T7 at:
            #0 pthread_create p.cpp:1 (libtsan.so+0x2)

        SUMMARY: ThreadSanitizer: data race ../lib/hap_str.c:1 in $who
        $line
        END
}

subtest 'an end that is not clean is noticed' => sub {
    my $bad = HA::Test->new;
    my $httpd = $bad->httpd(config => 'ProxyPass /x', start => 0);
    ok(!($httpd->check)[0], 'a bad configuration does not pass the check');
    ok(!eval { $httpd->start }, 'nor does it start');
    like($@, qr/ProxyPass/, 'and the reason is told');

    $httpd->write_config('');
    $httpd->start;
    my ($child) = $httpd->children;
    CORE::kill('SEGV', $child);
    $bad->wait_for(qr/child pid $child exit signal Segmentation fault/);
    $bad->app('hostX');
    CORE::kill('KILL', $bad->app('hostX')->pid);
    my $parent = $bad->spawn('forker', cmd => ['/bin/sh', '-c', 'sleep 60 & echo started']);
    $bad->wait_end($parent);
    $bad->stop_all;
    my @problems = $bad->problems;
    is(scalar(grep {/child pid $child exit signal/} @problems), 1, 'a child that crashed');
    is(scalar(grep {/hostX .* died by SIGKILL/} @problems), 1, 'an instance killed by others');
    is(scalar(grep {/forker left process \d+ over/} @problems), 1, 'a process that was left over');
    is(scalar(grep {/ended with exit code/} @problems), 1, 'a server that did not start');

    my $log = $httpd->error_log;
    open(my $out, '>>', $log);
    print $out "[Sat Jan 01 00:00:00 2000] [core:error] [pid 1] broken\ndouble free\n";
    close $out;
    is(scalar(grep {/broken|double free/} $bad->problems), 2, 'lines that nobody expects');
    $bad->expect_log(qr/broken/);
    is(scalar(grep {/broken|double free/} $bad->problems), 1, 'but those that the test does');
    $bad->write_file('san/report.1', "==1==ERROR: AddressSanitizer: heap-use-after-free\n");
    is(scalar(grep {/AddressSanitizer/} $bad->problems), 1, 'a report of a sanitizer');
    my ($ours, $httpds) = ('#0 f ../lib/hap_str.c:1 (lib.so+0x1)', '#0 memset m.inc:7 (libtsan.so+0x1)');
    $bad->write_file('san/report.2', race('both', $ours, $ours) . race('httpd', $httpds, $httpds));
    $bad->write_file('san/report.3', race('one', $ours, $httpds) . race('lost', $ours, '[failed to restore the stack]'));
    is(join(' ', map {/race \S+ in (\w+)/ ? $1 : ()} $bad->problems), 'both lost', 'a race of code of ours with itself');
    my $dir = $bad->dir;
    $bad->_clean;
    ok(!-e $dir, 'its folder is gone');
};

# Servers whose slots are in shared memory, which only their own end removes.
my @shared = qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests);
my $balancer = qq(<Proxy "balancer://App">\nBalancerMember "${\$a->url}"\n</Proxy>\n);

# As with kill -STOP in a shell.
sub stop_it($pid)
{
    CORE::kill('STOP', $pid);
    return $t->wait_stopped($pid);
}

subtest 'an instance that somebody stopped holds up nothing' => sub {
    my $other = HA::Test->new;
    my $app = $other->app('hostS');
    my $count = $app->count;
    stop_it($app->pid);
    ok(!eval { $app->control('sessions', 0.2) }, 'a command is not answered');
    like($@, qr/^hostS: sessions: no answer for 0\.2 s$/, 'that is told in time');
    CORE::kill('CONT', $app->pid);
    is_deeply($app->count, $count, 'the next one gets its own answer');
    stop_it($app->pid);
    my $begin = time;
    $other->stop_all;
    cmp_ok(time - $begin, '<', 10, 'the end comes soon');
    is(join("\n", $other->problems), '', 'by SIGTERM');
    $other->_clean;
};

subtest 'what has to be killed leaves no shared memory' => sub {
    my $other = HA::Test->new;
    my $httpd = $other->httpd(modules => \@shared, config => $balancer);
    my @paths = HA::Test::shared_memory($httpd->pid);
    is(scalar(grep {-e} @paths), scalar @paths, 'there is some') or diag("@paths");
    cmp_ok(scalar @paths, '>', 0, 'and it is known');
    $other->kill_session($httpd->pid);
    $other->wait_end($httpd->pid);
    is(join(' ', grep {-e} @paths), '', 'none is left');
    $other->stop_all;
    $other->_clean;
};

for my $signal (qw(INT TERM)) {
    subtest "a test that SIG$signal interrupts leaves nothing" => sub {
        my $script = $t->write_file('interrupted.pl', <<~"END");
            use v5.36;
            use HA::Test;
            my \$t = HA::Test->new;
            my \$app = \$t->app('hostI');
            my \$httpd = \$t->httpd(modules => [qw(@shared)], config => <<'CONFIG');
            $balancer
            CONFIG
            kill 'STOP', \$app->pid;
            STDOUT->autoflush;
            say join ' ', \$t->dir, HA::Test::shared_memory(\$httpd->pid);
            # What reads its output is interrupted first.
            pipe(my \$read, my \$write);
            open(STDERR, '>&', \$write);
            Test::More->builder->\$_(\$write) for qw(output failure_output);
            close(\$read);
            subtest 'interrupted' => sub { sleep 60 };
            END
        my $lib = HA::Test::top_srcdir() . '/t/lib';
        my $name = "interrupted $signal";
        my %build = (top_srcdir => HA::Test::top_srcdir(), top_builddir => HA::Test::top_builddir());
        my $pid = $t->spawn(
            $name,
            cmd => [$^X, '-I', $lib, $script],
            env => \%build,
            death => POSIX::SIGTERM
        );
        $t->may_fail($pid);
        my $said = HA::Log->new($t->dir("$name.out"));
        $t->wait_for(sub { $said->text =~ /\n/ }, 30, 'its start');
        my ($dir, @paths) = split ' ', $said->lines->[0];
        is(scalar(grep {-e} @paths), scalar @paths, 'it has shared memory') or diag("@paths");
        cmp_ok(scalar @paths, '>', 0, 'known by name');
        $t->signal($pid, $signal);
        is($t->wait_end($pid) & 127, 0, 'it ends by itself') or diag($said->text);
        is(join(' ', grep {-e} $dir, @paths), '', 'no file is left');
        my @left = grep {/\Q$dir\E/} map {HA::Log->new($_)->text} glob '/proc/[0-9]*/cmdline';
        is("@left", '', 'no process is left');
    };
}

subtest 'a log line satisfies a pattern once' => sub {
    my $log = HA::Log->new($t->write_file('some.log', "one\ntwo\none\nthr"));
    my $taken = join ',', map {$log->take(qr/one/) // '-'} 1 .. 3;
    is($taken, 'one,one,-', 'each of two lines');
    is($log->take(qr/thr/), undef, 'a line counts when it is whole');
    is($log->take(qr/two/), 'two', 'other patterns have their own place');
};

subtest 'lives of services are told apart, and how long two overlap' => sub {
    my $service = HA::Service->new($t, 'lives');
    my @lives = ([0, 1, 7, 100, 200], [1, 2, 7, 500, 600], [2, 3, 8, 550, 650], [2, 4, 9, 640, 700]);
    $t->write_file('lives/life', join '', map {my ($id, $epoch, $pid, @at) = @$_; map {"$_ $id $epoch $pid\n"} @at} @lives);
    is(join(' ', map {"$_->{id}:$_->{from}-$_->{to}"} $service->lives), '0:100-200 1:500-600 2:550-650 2:640-700', 'also when a pid comes again');
    is($service->overlap_ms, 50, 'of different ids');
};

# Maps as they may be seen, with one thing changed.
sub maps(%what)
{
    my @seen = (
        {node => 0, version => 3, term => 1, sum => 'c'},
        {node => 1, version => 2, term => 1, sum => 'b'},
        {node => 1, version => 3, term => 1, sum => 'c'},
        {node => 1, version => 5, term => 2, sum => 'e'},
        {node => 0, version => 5, term => 2, sum => 'e'},
    );
    %{$seen[$_]} = (%{$seen[$_]}, %{$what{$_}}) for keys %what;
    return join "\n", HA::Maps::wrongs_in(@seen);
}

subtest 'the judgement of maps names what is wrong' => sub {
    is(maps(), '', 'nothing, with a node that is behind, and one that has missed a map');
    is(maps(4 => {version => 2, term => 1, sum => 'b'}), 'node 0 went back from map 3, term 1, to 2, term 1', 'a map that goes back');
    is(maps(4 => {term => 0}), 'node 0 went back from map 3, term 1, to 5, term 0', 'a term that does');
    is(maps(2 => {sum => 'd'}), 'map 3 of node 1 is not that of node 0', 'two maps of one version');
    is(maps(0 => {term => 3}, 4 => {term => 3}), 'map 5, term 2, comes after map 3, term 3', 'a later version of an earlier term');
};

# A history in which nothing is wrong, with one thing changed.
sub history(%what)
{
    my @answers = (
        {who => 'client 1', key => 'own1', value => 1, end => 'done', version => 3, from => 1, to => 2},
        {who => 'client 2', key => 'own2', value => 1, end => 'done', version => 4, from => 1, to => 4},
        {who => 'client 1', key => 'shared', value => 2, expect => 4, end => 'done', version => 5, from => 4.5, to => 6},
        {who => 'client 2', key => 'shared', value => 3, expect => 4, end => 'conflict', version => 5, from => 4.5, to => 7},
        {who => 'client 1', key => 'look', value => 0, end => 'unchanged', version => 5, from => 8, to => 9},
        {who => 'client 2', key => 'own2', value => 4, end => 'lost', version => 0, from => 9, to => 10},
    );
    my @looks = (
        {node => 0, version => 3, from => 5, to => 5, term => 1, sum => 'c', values => {own1 => 1}},
        {node => 1, version => 4, from => 5, to => 6, term => 1, sum => 'd', values => {own1 => 1, own2 => 1}},
        {node => 0, version => 4, from => 7, to => 8, term => 1, sum => 'd', values => {own1 => 1, own2 => 1}},
        {node => 'leader', version => 6, from => 11, to => 12, term => 1, sum => 'f', values => {own1 => 1, own2 => 4, shared => 2}},
    );
    %{$answers[$_]} = (%{$answers[$_]}, %{$what{answers}{$_}}) for keys %{$what{answers}};
    %{$looks[$_]} = (%{$looks[$_]}, %{$what{looks}{$_}}) for keys %{$what{looks}};
    $_->{expect} //= '-' for @answers;
    return join "\n", HA::History::wrong_with(\@answers, \@looks);
}

subtest 'the judgement of a history names what is wrong' => sub {
    is(history(), '', 'nothing, with looks at old maps, commands at once and one without an answer');
    my @wrong = (
        'an acknowledged command is lost' => {looks => {3 => {values => {own2 => 4, shared => 2}}}} =>
            'node leader, version 6: own1 is nothing, and not 1',
        'the last one is lost, with its version' => {looks => {3 => {version => 4, sum => 'd', values => {own1 => 1, own2 => 1}}}} =>
            'leader, look 4: begun after the end of client 1, shared 5',
        'two changes in the wrong order' => {answers => {1 => {from => 2.5, version => 2}}, looks => {0 => {values => {own1 => 1, own2 => 1}}}} =>
            'client 2, own2 2: begun after the end of client 1, own1 3',
        'a version is made twice' => {answers => {1 => {version => 3}}, looks => {0 => {values => {own1 => 1, own2 => 1}}}} =>
            'version made twice: by client 1, own1 3, and by client 2, own2 3',
        'a command is carried out twice' => {answers => {1 => {end => 'unchanged'}}, looks => {map {$_ => {values => {own1 => 1, $_ == 3 ? (shared => 2) : ()}}} 1 .. 3}} =>
            'client 2, own2 4: unchanged',
        'compare-and-set is done for another version' => {answers => {2 => {expect => 3}}} =>
            'client 1, shared 5: done for version 3',
        'a conflict is none' => {answers => {3 => {expect => 5}}} =>
            'client 2, shared 5: a conflict with version 5',
        'what is a conflict has happened' => {looks => {3 => {values => {own1 => 1, own2 => 4, shared => 3}}}} =>
            'node leader, version 6: shared is 3, and not 2',
        'a stale look' => {answers => {4 => {version => 4}}} =>
            'client 1, look 4: begun after the end of client 1, shared 5',
        'a map that goes back' => {looks => {2 => {version => 2, sum => 'b', values => {}}}} =>
            'node 0 went back from map 3, term 1, to 2, term 1',
        'two maps of one version' => {looks => {2 => {sum => 'e'}}} =>
            'map 4 of node 0 is not that of node 1',
        'a map from the future' => {looks => {0 => {to => 0.5}}} =>
            'node 0: too early for client 1, own1 3',
    );
    while (my ($name, $what, $said) = splice @wrong, 0, 3) {
        is(history(%$what), $said, $name);
    }
};

$t->done;
