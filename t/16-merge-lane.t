# SPDX-License-Identifier: Apache-2.0
# What a merged file says of the lane: it holds for its own balancers, whatever stands beside it.
use v5.36;

use HA::Test;
use HA::Zero;

my $t = HA::Test->new;
# Asked for, to see what mod_proxy carries; before the log is open it goes elsewhere.
$t->expect_log(qr/\[proxy:debug\]/);
my ($a, $b) = map {$t->app($_)} qw(hostA hostB);
my @modules = qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests);

# A merged file for both instances under this name; further options are merge's, but for -upgrade=.
# Its path.
sub merged($app, @options)
{
    my @upgrade = grep {/^-upgrade=/} @options;
    @options = grep {!/^-upgrade=/} @options;
    my @fragments;
    for my $host ($a, $b) {
        push @fragments, $t->dir("$app-" . $host->name . '.conf');
        my @generate = ("-app=$app", "-context=/$app", '-host=127.0.0.1', '-port=' . $host->port, '-force', @upgrade);
        my ($code, undef, $err) = zero(qw(modproxy generate), @generate, '-route=' . $host->name,
            '-sticky=zsessionid', '-health=/App/health', "-o=$fragments[-1]");
        is($code, 0, "a fragment of $app") or diag($err);
    }
    my $file = $t->dir("$app.conf");
    my ($code, undef, $err) = zero(qw(modproxy merge -balancer -force), @options, "-o=$file", @fragments);
    is($code, 0, "a merged file of $app") or diag($err);
    return $file;
}

# The same, written by hand: nothing in it speaks of the lane.
sub by_hand($app)
{
    return join '', qq(<Proxy "balancer://$app">\n),
        (map {sprintf qq(BalancerMember "%s" route=%s\n), $_->url, $_->name} $a, $b), "</Proxy>\n",
        qq(ProxyPass "/$app" "balancer://$app/App"\nHABalancer $app\n);
}

sub httpd($config, %opt)
{
    return $t->httpd(%opt, modules => \@modules, haproxy => 1, log_level => 'info proxy:debug', config => $config);
}

# Who carries a request for this path: mod_proxy says so of each that is its own.
sub carrier($httpd, $path, %opt)
{
    my $said = sub { $httpd->log->count(qr/AH01143: Running scheme balancer handler/) };
    my $before = $said->();
    my $answer = $t->client(port => $opt{port} // $httpd->port, cookies => 0)->get($path);
    return 'status ' . $answer->status if $answer->status != ($opt{status} // 200);
    return $said->() > $before ? 'mod_proxy' : 'lane';
}

# What the module has said in the log at starts.
sub said($httpd)
{
    return map {/\[haproxy:notice\].*?\] (\S+: .*)$/} @{$httpd->log->lines};
}

# The verdicts in the log, each once.
sub verdicts($httpd)
{
    my %seen;
    my @said = map {/\[haproxy:notice\].*?\] (\S+: \S+: (?:in the lane|on the standard path.*))$/} @{$httpd->log->lines};
    return join "\n", grep {!$seen{$_}++} @said;
}

my $app = merged('App');

subtest 'a merged file moves its own balancer to the lane and no other' => sub {
    my $httpd = httpd(qq(Include "$app"\n) . by_hand('Own'));
    is(verdicts($httpd), 'App: /App: in the lane', 'the log says so at the start');
    is(carrier($httpd, '/App/plain'), 'lane', 'App goes through the lane');
    is(carrier($httpd, '/Own/plain'), 'mod_proxy', 'what is written by hand does not');
    is(spread($t->client(port => $httpd->port, cookies => 0), '/App/plain', 10), 'hostA:5 hostB:5', 'both serve');
    is(spread($t->client(port => $httpd->port, cookies => 0), '/Own/plain', 10), 'hostA:5 hostB:5', 'both serve');
    $httpd->stop;
};

subtest 'two merged files do not speak for each other' => sub {
    my $shop = merged('Shop', '-lane=off');
    for my $order ([$app, $shop], [$shop, $app]) {
        my $httpd = httpd(join '', map {qq(Include "$_"\n)} @$order);
        is(carrier($httpd, '/App/plain'), 'lane', 'App, with -lane=on');
        is(carrier($httpd, '/Shop/plain', status => 404), 'mod_proxy', 'Shop, with -lane=off');
        like(verdicts($httpd), qr{^App: /App: in the lane$}m, 'App is named');
        like(verdicts($httpd), qr{^Shop: /Shop: on the standard path, HALane \(\Q$shop\E:12\) is Off$}m,
            'so is the line that keeps Shop');
        $httpd->stop;
    }
    my $httpd = httpd(qq(HALane On\nInclude "$shop"\n) . by_hand('Own'));
    is(carrier($httpd, '/Shop/plain', status => 404), 'mod_proxy', '-lane=off holds beside HALane On');
    is(carrier($httpd, '/Own/plain'), 'lane', 'which is for what is written by hand');
    $httpd->stop;
};

subtest 'HALane Off beside the Include ends it, before and behind' => sub {
    for my $config (qq(HALane Off\nInclude "$app"\n), qq(Include "$app"\nHALane Off App\n)) {
        my $httpd = httpd($config);
        is(carrier($httpd, '/App/plain'), 'mod_proxy', 'App stays on the standard path');
        like(verdicts($httpd), qr{^App: /App: on the standard path, HALane \(\S+:\d+\) is Off$},
            'and the log says by which line');
        $httpd->stop;
    }
};

subtest 'in the main server it ends it in virtual hosts, too' => sub {
    for my $off ('HALane Off', 'HALane Off App') {
        my $httpd = httpd(qq($off\n<VirtualHost *:\@PORT\@>\nInclude "$app"\n</VirtualHost>\n));
        is(carrier($httpd, '/App/plain'), 'mod_proxy', "$off: App stays on the standard path");
        $httpd->stop;
    }
};

subtest 'in a virtual host it holds there' => sub {
    my $vhosts = <<~"END";
        <VirtualHost *:\@PORT\@>
        Include "$app"
        ${\by_hand('Own')}
        </VirtualHost>
        <VirtualHost *:\@PORT2\@>
        ${\by_hand('App')}
        </VirtualHost>
        END
    my $httpd = httpd(by_hand('Main') . $vhosts, ports => 2);
    is(carrier($httpd, '/App/plain'), 'lane', 'App of the virtual host that includes it');
    is(carrier($httpd, '/Own/plain'), 'mod_proxy', 'not what stands beside it');
    is(carrier($httpd, '/Main/plain'), 'mod_proxy', 'nor what the main server has');
    is(carrier($httpd, '/App/plain', port => $httpd->port(2)), 'mod_proxy', 'nor an App of another virtual host');
    like(verdicts($httpd), qr{^App(?:@\S+)?: /App: in the lane\z}, 'one line says all of it');
    $httpd->stop;
};

subtest 'in the main server it holds for virtual hosts, unless they say otherwise' => sub {
    my $vhosts = <<~"END";
        <VirtualHost *:\@PORT\@>
        </VirtualHost>
        <VirtualHost *:\@PORT2\@>
        HALane Off App
        </VirtualHost>
        <VirtualHost *:\@PORT3\@>
        ErrorLog "\@ROOT\@/logs/own.log"
        </VirtualHost>
        END
    my $httpd = httpd(qq(Include "$app"\n$vhosts), ports => 3);
    is($httpd->log->count(qr{App: /App in the main server: in the lane$}), 1, 'the log says it once');
    is(HA::Log->new($httpd->root . '/logs/own.log')->count(qr{App: /App: in the lane$}), 1, 'and so does one of its own');
    is(carrier($httpd, '/App/plain'), 'lane', 'one that says nothing');
    is(carrier($httpd, '/App/plain', port => $httpd->port(2)), 'mod_proxy', 'one that says Off');
    $httpd->stop;
};

subtest 'keys of an own file are joined with it' => sub {
    my $httpd = httpd(qq(Include "$app"\nSetEnv x y\nHALane Require App ignore=SetEnv\n), start => 0);
    $httpd->load_modules(@modules, 'env');
    $httpd->write_config;
    $httpd->start;
    is(carrier($httpd, '/App/plain'), 'lane', 'what an own line waives is waived');
    $httpd->stop;
    $httpd->write_config(qq(Include "$app"\nSetEnv x y\n));
    $httpd->start;
    is(carrier($httpd, '/App/plain'), 'mod_proxy', 'else it keeps App on the standard path');
    like(verdicts($httpd), qr{^App: /App: on the standard path, SetEnv \(\S+:\d+\) acts on it}m, 'as the log says');
    $httpd->stop;
    $httpd->write_config(qq(Include "$app"\nSetEnv x y\nHALane Require App\n));
    my ($good, $said) = $httpd->refusal;
    ok(!$good, 'with Require the server does not start');
    like($said, qr{SetEnv .*; HALane Require \(\S+:\d+\) wants it in the lane}, 'and says why');
};

subtest 'servers that differ are named in the log' => sub {
    my $other = "<VirtualHost *:9>\nServerName other\n%s</VirtualHost>\n";
    my $both = 'App: /App: in the lane';
    my $httpd = httpd(qq(Include "$app"\n) . sprintf $other, '');
    is(join("\n", grep {m{App: /App}} said($httpd)), $both, 'not while all agree');
    $httpd->stop;
    $httpd = httpd(qq(Include "$app"\n) . sprintf $other, "HALane Off App\n");
    my @said = grep {m{App: /App}} said($httpd);
    is($said[0], 'App: /App in the main server: in the lane', 'the main server');
    like($said[1], qr{^App: /App in other \(\S+/httpd\.conf:\d+\): on the standard path, HALane \(\S+:\d+\) is Off$},
        'and a virtual host');
    is(@said, 2, 'once each');
    $httpd->stop;
};

subtest 'what other keys say of failures holds in the lane' => sub {
    my $set = qq(<Proxy "balancer://App">\nProxySet failonstatus=503\n</Proxy>\n);
    my $httpd = httpd(qq(Include "$app"\n$set<IfModule haproxy_module>\nHACheck App interval=1h\n</IfModule>\n));
    my $client = $t->client(port => $httpd->port, cookies => 0);
    my %to = (headers => {Cookie => 'zsessionid=s.hostA'});
    is($client->get('/App/status?code=503', %to)->status, 503, "the application's own 503 is passed on") for 1 .. 3;
    ok($t->wait_for(qr/App: member hostA: \w+, now suspect, requests failed$/), 'failonstatus=: three make it suspect');
    $httpd->stop;
    $t->expect_log(qr/member hostX failed on/);
    my $nobody = $t->port;
    my $gone = qq(<Proxy "balancer://App">\nBalancerMember "http://127.0.0.1:$nobody" route=hostX\n</Proxy>\n);
    $httpd = httpd(qq(Include "$app"\n${gone}HABalancer App retry-budget=0\nHACheck App interval=1h\n));
    %to = (headers => {Cookie => 'zsessionid=s.hostX'});
    is($t->client(port => $httpd->port, cookies => 0)->get('/App/plain', %to)->status, 503, 'retry-budget=0: 503');
    ok($t->wait_for(qr/App: not tried again, the retry budget is used up$/), 'and the log says why');
    $httpd->stop;
};

subtest 'a log of what the lane does not keep has App on the standard path' => sub {
    my $log = $t->dir('cookies.log');
    my $httpd = httpd(qq(Include "$app"\nCustomLog "$log" "%U %{Content-Type}o"\n));
    is(carrier($httpd, '/App/plain'), 'mod_proxy', 'App');
    $httpd->stop;
    is(HA::Log->new($log)->text, "/App/plain text/plain\n", 'and the line is whole');
};

subtest 'a name of nobody stops the start' => sub {
    my $httpd = httpd(qq(Include "$app"\nHALane Off Ap\n), start => 0);
    my ($good, $said) = $httpd->refusal;
    ok(!$good, 'refused');
    like($said, qr{httpd\.conf:\d+: HALane names Ap, but there is no HABalancer Ap: correct the name}, 'with a sentence');
};

subtest 'what generate says of WebSockets holds, in the lane and without' => sub {
    my $socket = merged('App', '-upgrade=websocket');
    for my $way ('On', 'Off') {
        my $httpd = httpd(qq(Include "$socket"\n) . ($way eq 'Off' ? "HALane Off\n" : ''));
        my $client = $t->client(port => $httpd->port);
        my $says = sub ($bytes, $pattern) {
            my ($all, $until) = ('', time + 10);
            $client->send($bytes);
            $all .= $client->read_raw while $all !~ $pattern && time < $until && !$client->{error};
            like($all, $pattern, "HALane $way");
        };
        my @upgrade = ('Connection: Upgrade', 'Upgrade: websocket');
        $says->(join("\r\n", 'GET /App/upgrade HTTP/1.1', 'Host: x', @upgrade, '', ''), qr{^HTTP/1\.1 101 .*\r\n\r\n}s);
        $says->('to and fro', qr/to and fro/);
        $client->close;
        $httpd->stop;
    }
};

$t->done;
