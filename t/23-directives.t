# SPDX-License-Identifier: Apache-2.0
# What the directives accept, and how a server that is given something else says so; and ha-health.
use v5.36;

use HA::Manager;
use HA::Test;

my $t = HA::Test->new;
my $httpd = $t->httpd(
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    start => 0,
    config => '',
);
my $key = $t->write_file('good.key', ('5a' x 32) . "\n");
chmod 0640, $key;

sub balancer($name, @routes)
{
    my $port = 20000;
    my @members = map {
        my $route = $_ eq '-' ? '' : " route=$_";
        qq(    BalancerMember "http://127.0.0.1:${\$port++}"$route)
    } @routes;
    return join "\n", qq(<Proxy "balancer://$name">), @members, '</Proxy>', '';
}

my $two = balancer('App', 'hostA', 'hostB');
my $sticky = "<Proxy balancer://App>\nProxySet stickysession=zsessionid\n</Proxy>\n";

# The line of the configuration file on which the text stands last.
sub line_of($text)
{
    open(my $in, '<', $httpd->conf) or die $httpd->conf . ": $!\n";
    my $at = 0;
    while (my $line = <$in>) {
        $at = $. if $line =~ /^\s*\Q$text\E\s*$/;
    }
    return $at;
}

# Both ways to say where something is wrong: httpd's own for a directive it reads, ours for what
# shows only when all are read.
sub says($output, $directive, $sentence)
{
    return 0 if $output =~ /5a5a|5g5g/; # no part of a key is ever told
    my $at = line_of($directive);
    my $conf = quotemeta $httpd->conf;
    my $place = qr/Syntax error on line $at of $conf:|\($conf:$at\)/;
    my $n = () = $output =~ /$sentence/g;
    return $output =~ $place && $n == 1;
}

# A server with this directive is refused by -t, in one sentence that matches. `start` in the
# options asks a starting server as well.
sub refused($directive, $sentence, $name, %opt)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $httpd->write_config(($opt{before} // $two) . "$directive\n" . ($opt{after} // ''));
    my ($good, $output) = $httpd->check;
    my $place = $opt{place} // $directive;
    ok(!$good && says($output, $place, $sentence), $name) or diag $output;
    return if !$opt{start};
    ($good, $output) = $httpd->refusal;
    ok(!$good && says($output, $place, $sentence), "$name, at a start") or diag $output;
    return;
}

sub accepted($directive, $name, %opt)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $httpd->write_config(($opt{before} // $two) . "$directive\n" . ($opt{after} // ''));
    my ($good, $output) = $httpd->check;
    ok($good && $output =~ /^Syntax OK$/m, $name) or diag $output;
    return;
}

my @durations = (
    # directive, key, smallest, too small, largest, too large, what is allowed
    ['HABalancer', 'sign-lifetime', '1s', '999ms', '720h', '721h', '1s to 720h'],
    ['HABalancer', 'queue-timeout', '1ms', '0', '1h', '61m', '1ms to 1h'],
    ['HABalancer', 'slow-start', '0', '-1', '1h', '3601', '0s to 1h'],
    ['HACheck', 'interval', '100ms', '99ms', '1h', '3601s', '100ms to 1h'],
    ['HACheck', 'timeout', '10ms', '9ms', '10m', '11m', '10ms to 600s'],
    ['HAZone', 'budget', '10ms', '9ms', '1s', '1001ms', '10ms to 1s'],
    ['HAZone', 'recheck', '0', '-1', '60s', '61s', '0s to 60s'],
);
my @numbers = (
    ['HABalancer', 'retries', '0', '-1', '10', '11', '0 to 10'],
    ['HABalancer', 'retry-budget', '0', '-1%', '100%', '101%', '0% to 100%'],
    ['HABalancer', 'max', '0', '-1', '1000000', '1000001', '0 to 1000000'],
    ['HABalancer', 'queue', '0', '-1', '1000000', '1000001', '0 to 1000000'],
    ['HACheck', 'rise', '1', '0', '100', '101', '1 to 100'],
    ['HACheck', 'fall', '1', '0', '100', '101', '1 to 100'],
);
my @words = (
    ['HABalancer', 'method', [qw(round least latency hash)], 'round, least, latency or hash'],
    ['HABalancer', 'hash-key', [qw(client path)], 'client or path'],
    ['HABalancer', 'failover', [qw(on strict)], 'on or strict'],
    ['HACheck', 'method', [qw(GET HEAD OPTIONS)], 'GET, HEAD or OPTIONS'],
    [
        'HABalancer', 'affinity', [qw(app none insert insert:ROUTE)],
        'app, none, insert or insert:COOKIE'
    ],
);

# The directive under test, with what it needs beside it.
sub written($directive, $name, $value)
{
    my %needs = (queue => ' max=1', 'sign-lifetime' => " affinity=insert sign=$key");
    return "$directive App $name=$value" . ($directive eq 'HABalancer' ? $needs{$name} // '' : '');
}

sub beside($directive)
{
    return $two if $directive eq 'HABalancer';
    return "${two}HABalancer App\n" . ($directive eq 'HAZone' ? $sticky : '');
}

subtest 'a number or a time has to lie in its range' => sub {
    for my $row ((map {[@$_[0 .. 5], "$_->[6], in ms, s, m or h"]} @durations), @numbers) {
        my ($directive, $name, $least, $below, $most, $above, $allowed) = @$row;
        my %before = (before => beside($directive));
        accepted(written($directive, $name, $least), "$directive: $name=$least", %before);
        accepted(written($directive, $name, $most), "$directive: $name=$most", %before);
        for my $bad ($below, $above) {
            my $sentence = qr/^$directive: \Q$name=$bad\E is not allowed, use \Q$allowed\E$/m;
            refused(written($directive, $name, $bad), $sentence, "no $directive: $name=$bad", %before);
        }
    }
};

subtest 'a value is the right word or none' => sub {
    for my $row (@words) {
        my ($directive, $name, $good, $allowed) = @$row;
        my %before = (before => beside($directive));
        my $shown = quotemeta $allowed;
        accepted("$directive App $name=$_", "$directive: $name=$_", %before) for $good->[0], $good->[-1];
        for my $bad (uc($good->[0]) . 'x', '') {
            my $sentence = qr/^$directive: \Q$name=$bad\E is not allowed, use $shown$/m;
            refused("$directive App $name=$bad", $sentence, "no $directive: $name=$bad", %before);
        }
    }
    my $cookies = qr/affinity=\S+ is not allowed, use app, none, insert or insert:COOKIE/;
    refused("HABalancer App affinity=$_", $cookies, "no affinity=$_")
        for 'insert:', 'insert:a;b', 'insert:' . 'x' x 64;
};

subtest 'every key may be left out, and none be doubled or misspelt' => sub {
    accepted('HABalancer App', 'HABalancer without keys', before => $two);
    accepted("$_ App", "$_ without keys", before => beside($_)) for qw(HACheck HAZone);
    my @keys = (
        (map {[@$_[0, 1, 2]]} @durations, @numbers),
        (map {[@$_[0, 1], $_->[2][0]]} @words),
        ['HABalancer', 'sign', $key], ['HACheck', 'uri', '/x'], ['HACheck', 'expect', '200'],
        ['HAZone', 'zone', 'USER'], ['HAZone', 'store', 'shm'], ['HAZone', 'key', $key],
        ['HAZone', 'token', $key],
    );
    for my $row (@keys) {
        my ($directive, $name, $value) = @$row;
        my %before = (before => beside($directive));
        refused(
            "$directive App $name=$value $name=$value",
            qr/^$directive: $name= is given twice, keep one$/m,
            "$directive: $name= twice", %before
        );
        my $wrong = substr($name, 0, -1) . 'z';
        refused(
            "$directive App $wrong=$value",
            qr/^$directive: "\Q$wrong=$value\E" is not one of its key=value arguments: .*\b$name\b/m,
            "$directive: $wrong= for $name=", %before
        );
    }
    refused(
        'HABalancer App round', qr/^HABalancer: "round" is not one of its key=value arguments/m,
        'a value without its key', start => 1
    );
    refused("$_ balancer://App", qr{^$_: name the balancer without balancer://, as in $_ App$}m, "$_ with a URL")
        for qw(HABalancer HACheck HAZone);
    refused("HABalancer $_", qr/^HABalancer: the first argument is the balancer's name, as in /m,
        "no name: $_") for 'method=round';
    refused('HABalancer', qr/^HABalancer: the first argument is the balancer's name, as in /m,
        'no argument at all');
};

subtest 'a path and a list of statuses are checked when they are read' => sub {
    my %before = (before => beside('HACheck'));
    accepted("HACheck App uri=/App/health?full=1 expect=200-299,404", 'both good', %before);
    refused('HACheck App uri=App/health', qr{uri=App/health has to begin with "/"},
        'uri= without a slash', %before, start => 1);
    refused('HACheck App uri=/a#b', qr{uri=/a#b has "#" in it}, 'uri= with a fragment', %before);
    refused('HACheck App "uri=/a b"', qr/uri=\S* ?b is not allowed, use a path/, 'uri= with a blank',
        %before);
    refused('HACheck App uri=/' . 'x' x 2048, qr/uri=\S+ is too long, use at most 2048 bytes/,
        'uri= too long', %before);
    for my $bad ('20', '200-', '399-200', '200,,201', '600') {
        refused("HACheck App expect=$bad", qr/expect=$bad: "\S*" is no status from 100 to 599/,
            "expect=$bad", %before);
    }
    my $many = join ',', 200 .. 216;
    refused("HACheck App expect=$many", qr/expect=$many has too many parts, use at most 16/,
        'expect= of 17 parts', %before);
};

subtest 'keys that need each other are missed' => sub {
    refused("HABalancer App sign=$key", qr/HABalancer App \(.*\): sign= signs the proxy's own cookie, so /,
        'sign= without affinity=insert');
    refused('HABalancer App queue=5', qr/HABalancer App \(.*\): queue= waits for members .* needs max=/,
        'queue= without max=');
};

subtest 'a directive finds its balancer' => sub {
    refused('HABalancer Ap', qr/HABalancer Ap \(.*\): there is no balancer of this name, define it/,
        'a balancer that nobody defined', start => 1);
    refused('HACheck App uri=/x', qr/HACheck App \(.*\): no HABalancer names this balancer: correct the name/,
        'a check without HABalancer', start => 1);
    refused('HACheck App uri=/x', qr/HACheck App \(.*\): no HABalancer names this balancer: correct the name/,
        'a check where only the method is ours',
        before => "$two<Proxy balancer://App>\nProxySet lbmethod=ha\n</Proxy>\n");
    refused('HABalancer App', qr/the balancer has no BalancerMember/, 'a balancer without members',
        before => $sticky);
    refused('HABalancer App', qr/HABalancer not allowed (?:here|in)/, 'not in a Location',
        before => "$two<Location /x>\n", after => "</Location>\n",);
};

subtest 'lines for one balancer are joined, and a key stands in one of them' => sub {
    my $merged = $t->write_file('App.conf', "${two}HABalancer App\nHACheck App uri=/health\n");
    my $tuned = "HABalancer App method=least slow-start=30s\nHACheck app interval=2s\n";
    my $host = sub ($text) { return "<VirtualHost *>\n$text</VirtualHost>\n" };
    my $include = qq(Include "$merged"\n);
    accepted('', 'own keys behind the Include', before => $include . $tuned);
    accepted('', 'before it', before => $tuned . $include);
    accepted('', 'in a virtual host', before => $host->($tuned . $include));
    accepted('HABalancer App max=1', 'keys that need each other in two lines',
        before => "${two}HABalancer App queue=5\n");
    my $conf = quotemeta $httpd->conf;
    refused('HACheck app uri=/other', qr/^HACheck app: uri= is given at \Q$merged\E:6 and at $conf:\d+, keep one$/m,
        'a key that merge writes', before => $include, start => 1);
    $httpd->write_config($include x 2);
    my ($good, $said) = $httpd->check;
    ok(!$good, 'a merged file twice');
    like($said, qr/^HACheck App: uri= is given at \Q$merged\E:6, which is read twice: include that file once$/m,
        'is named, and what to do');
    refused('HABalancer App max=1', qr/^HABalancer App: max= is given at $conf:\d+ and at $conf:\d+, keep one$/m,
        'a key twice', before => "${two}HABalancer app max=2\n");
    refused('HABalancer App max=1', qr/^HABalancer App: max= is given at /m, 'in a virtual host',
        before => "<VirtualHost *>\n${two}HABalancer app max=2\n", after => "</VirtualHost>\n");
    refused('HABalancer App queue=5', qr/HABalancer App \(.*\): queue= waits for members /,
        'what is wrong with a key is said of its line',
        before => $include, after => "HABalancer App\n");
};

subtest 'members are told apart by their routes' => sub {
    refused('HABalancer App', qr{BalancerMember http://127\.0\.0\.1:20001 has no route=, sessions },
        'no route', before => balancer('App', 'hostA', '-') . $sticky, start => 1);
    refused('HABalancer App affinity=insert', qr/has no route=, sessions cannot be kept on it/,
        'no route, and a cookie of ours', before => balancer('App', '-', 'hostB'));
    accepted('HABalancer App affinity=none', 'no route, and no sessions',
        before => balancer('App', '-', '-') . $sticky);
    my @urls = ((map {"http://127.0.0.1:20000/$_"} qw(a b c)), map {"unix:/$_.sock|http://x"} qw(a b));
    accepted('HABalancer App', 'one address with several paths, and several sockets',
        before => join "\n", '<Proxy "balancer://App">', (map {qq(BalancerMember "$_")} @urls),
        '</Proxy>', '');
    refused('HABalancer App',
        qr{route=hostA is used by BalancerMember http://\S+:20000 and by http://\S+:20001, routes },
        'one route twice', before => balancer('App', 'hostA', 'hostA'), start => 1);
    my $separator = qq(<Proxy "balancer://App">\nProxySet stickysession=x stickysessionsep=!\n</Proxy>\n);
    refused('HABalancer App', qr/stickysessionsep= other than a dot is not supported/,
        'another separator', before => $two . $separator);
};

subtest 'there is room for all members, or the start is refused' => sub {
    my @routes = map {"m$_"} 1 .. 17;
    my $many = balancer('App', @routes) . "HABalancer App\n";
    accepted('HAMaxMembers 17', '17 members in 17 places', before => $many);
    refused('HAMaxMembers 16',
        qr/HAMaxMembers 16 \(.*\): the balancers have 17 members, raise it to 17 or more/, '17 members in 16 places',
        before => $many, start => 1);
    for my $bad (15, 65537, 'x', '-1') {
        refused("HAMaxMembers $bad", qr/^HAMaxMembers: $bad is not allowed, use 16 to 65536$/m,
            "HAMaxMembers $bad");
    }
    refused('HAMaxMembers 100', qr/HAMaxMembers cannot occur within <VirtualHost> section/,
        'not in a virtual host',
        before => "$two<VirtualHost *>\n", after => "</VirtualHost>\n");
};

subtest 'directives that take one value take one, once' => sub {
    my $context = qr/cannot occur within <VirtualHost> section/;
    my $conf = quotemeta $httpd->conf;
    for my $row (['HALaneConnections', 100], ['HALaneThreads', 1], ['HAMaxMembers', 100],
        ['HAStateFile', 'state'], ['HAZoneSessions', 1024]) {
        my ($name, $value) = @$row;
        accepted("$name $value", "$name $value");
        refused($name, qr/^$name takes one argument, /m, "$name without its value");
        refused("$name $value $value", qr/^$name takes one argument, /m, "$name with two values");
        refused("$name $value", qr/^$name is given at $conf:\d+ and at $conf:\d+, keep one$/m, "$name twice",
            before => "$two$name $value\n", start => 1);
        refused("$name $value", $context, "$name in a virtual host",
            before => "$two<VirtualHost *>\n", after => "</VirtualHost>\n");
    }
    for my $bad (0, 1000001, 'x', '-1') {
        refused("HALaneConnections $bad", qr/^HALaneConnections: $bad is not allowed, use 1 to 1000000$/m,
            "HALaneConnections $bad");
    }
    accepted("HALaneConnections $_", "HALaneConnections $_") for 1, 1000000;
    for my $bad (1023, 16777217, 'x', '-1') {
        refused("HAZoneSessions $bad", qr/^HAZoneSessions: $bad is not allowed, use 1024 to 16777216$/m,
            "HAZoneSessions $bad");
    }
    accepted("HAZoneSessions $_", "HAZoneSessions $_") for 1024, 16777216;
    for my $name (qw(HABalance HAChecks HAMaxMember HAStatefiles HAZones)) {
        refused("$name App", qr/^Invalid command '$name', perhaps misspelled/m, "misspelt: $name");
    }
};

subtest 'the state file is a file, or is not there yet' => sub {
    my $root = $httpd->root;
    accepted('HAStateFile none/there/yet', 'in a folder that is not there yet');
    refused('HAStateFile .', qr/^HAStateFile: \Q$root\E\S* is a folder, name a file in it$/m, 'ServerRoot');
    refused('HAStateFile ""', qr/^HAStateFile takes one argument, /m, 'an empty name');
    refused("HAStateFile $root/conf", qr/^HAStateFile: \S+conf is a folder, name a file in it$/m, 'a folder',
        start => 1);
    refused('HAStateFile /dev/null', qr/^HAStateFile: \/dev\/null is not a regular file, name another$/m, 'a device');
    my $long = 'x' x 5000;
    refused("HAStateFile $long", qr/^HAStateFile: x+ is not a usable path$/m, 'a name of 5000 bytes');
    my $mode = (stat "$root/conf")[2] & 07777;
    is(sprintf('%o', $mode), '755', 'no folder was touched');
    ok(-c '/dev/null', 'nor the device');
};

subtest 'a key file is read at the start, or the start is refused' => sub {
    my $sign = "HABalancer App affinity=insert sign=";
    accepted("$sign$key", 'a good one');
    chmod 0600, $t->write_file($httpd->root . '/conf/good.key', ('5a' x 32) . "\n");
    accepted("${sign}conf/good.key", 'relative to ServerRoot');
    my $good = ('5a' x 32) . "\n";
    my %bad = (
        short => ['5a' x 31, qr/sign=\S+short\.key:1: a key is a line of 64 hex digits, this one has 62/],
        blank => ["# nothing\n\n", qr/sign=\S+blank\.key: there is no key: make one with/],
        nohex => ["# mine\n" . ('5g' x 32), qr/sign=\S+nohex\.key:2: a key is a line of 64 hex digits/],
        twice => ["$good$good", qr/sign=\S+twice\.key:2: this key is there twice/],
        long => ['# ' . 'x' x 5000, qr/sign=\S+long\.key is longer than a key file can be/],
    );
    for my $name (sort keys %bad) {
        my $path = $t->write_file("$name.key", $bad{$name}[0]);
        chmod 0600, $path;
        refused("$sign$path", $bad{$name}[1], "$name", start => $name eq 'short');
    }
    my $endless = 'x' x 5000;
    refused("$sign$endless", qr/^sign=x+ is not a usable path$/m, 'a name of 5000 bytes');
    refused($sign . $t->dir('none.key'), qr/sign=\S+none\.key cannot be read: No such file/, 'none');
    mkdir $t->dir('folder.key'), 0700;
    refused($sign . $t->dir('folder.key'), qr/sign=\S+folder\.key cannot be read: /, 'a folder');
    chmod 0644, $key;
    refused("$sign$key", qr/sign=\S+ may be read by others, run chmod 640 on it/, 'open to all',
        start => 1);
    chmod 0640, $key;
};

my $a = $t->app('hostA');
my $b = $t->app('hostB');
my $members = <<~"END";
    <Proxy "balancer://App">
        BalancerMember "${\$a->url}" route=hostA
        BalancerMember "${\$b->url}" route=hostB
        ProxySet stickysession=zsessionid
    </Proxy>
    END

subtest 'virtual hosts inherit a balancer, key by key' => sub {
    my $host = sub ($text) { return "<VirtualHost *>\n$text</VirtualHost>\n" };
    my $own = qq(<Proxy "balancer://App">\nBalancerMember "http://127.0.0.1:20009" route=x\n</Proxy>\n);
    my %main = (before => "${members}HABalancer App max=7\nHACheck App interval=5s\n");
    accepted($host->(qq(ProxyPass "/App" "balancer://App/App"\n)), 'mounted there', %main);
    refused('HABalancer App max=5',
        qr/HABalancer App \(.*\): this balancer is inherited from the main server, so give its keys there, and include its file there alone/,
        'keys for a balancer of the main server', %main,
        before => "$main{before}<VirtualHost *>\n", after => "</VirtualHost>\n");
    refused('HACheck App uri=/x',
        qr/HACheck App \(.*\): this balancer is inherited from the main server, so check it there/,
        'a check of its own for such a balancer', before => "$main{before}<VirtualHost *>\n",
        after => "</VirtualHost>\n");
    my $belongs = qr/the main server defines this balancer .* so this line belongs there, outside of/;
    my $pass = qq(ProxyPass "/App" "balancer://App/App" stickysession=x\n);
    for my $text ('', $pass, $own) {
        my $what = (split ' ', $text)[0] // 'nothing';
        refused('HABalancer App', qr/HABalancer App \(.*\): $belongs/, "for such a balancer, with $what",
            before => "$members<VirtualHost *>\n$text", after => "</VirtualHost>\n", start => !$text);
    }
    accepted($host->("${own}HABalancer App max=5\n"), 'a balancer of its own', before => '');
    my %signs = (before => "HABalancer App affinity=insert sign=$key\n<VirtualHost *>\n$own",
        after => "</VirtualHost>\n");
    refused('HABalancer App affinity=app',
        qr/HABalancer App \(.*\): sign= signs the proxy's own cookie, so it .* sign=none where it is inherited/,
        'another affinity, and sign= in the main server', %signs);
    accepted('HABalancer App affinity=app sign=none', 'sign=none takes it back', %signs);
    accepted('HABalancer App sign=none', 'a cookie of ours without a signature', %signs);
    accepted('HABalancer App queue=5', 'queue= there, max= in the main server',
        before => "HABalancer App max=1\n<VirtualHost *>\n$own", after => "</VirtualHost>\n");
};

$httpd->write_config(<<~"END");
    ${members}HABalancer App
    HACheck App uri=/App/health interval=100ms
    <Proxy "balancer://Other">
        BalancerMember "${\$b->url}" route=hostB
    </Proxy>
    <Proxy "balancer://Drained">
        BalancerMember "${\$b->url}" route=hostB status=+N
        BalancerMember "${\$a->url}" route=hostA status=+D
    </Proxy>
    HABalancer Drained
    <Location "/ha-health">
        SetHandler ha-health
    </Location>
    <Location "/deep/ha/health">
        SetHandler ha-health
    </Location>
    <VirtualHost *>
        ServerName localhost
        ProxyPass "/App" "balancer://App/App"
    </VirtualHost>
    END
$httpd->start;

subtest 'a balancer of the main server serves in a virtual host' => sub {
    is(spread($t, '/App/plain', 10), 'hostA:5 hostB:5', 'evenly');
};

sub health($method, $path)
{
    my $answer = $t->client->request($method => $path);
    return $answer->status . ' ' . $answer->body;
}

subtest 'ha-health tells who serves' => sub {
    $t->wait_for(sub { health(GET => '/ha-health/App') eq "200 usable 2 of 2, open to new sessions 2, in flight 0\n" });
    is(health(GET => '/ha-health'), "200 serving\n", 'this proxy');
    is(health(GET => '/ha-health/'), "200 serving\n", 'with a slash');
    is(health(HEAD => '/ha-health/'), '200 ', 'HEAD');
    is(health(GET => '/ha-health/App'), "200 usable 2 of 2, open to new sessions 2, in flight 0\n", 'App');
    is(health(HEAD => '/ha-health/App'), '200 ', 'App, HEAD');
    is(health(GET => '/deep/ha/health'), "200 serving\n", 'in a deep location');
    is(health(GET => '/deep/ha/health/App'), "200 usable 2 of 2, open to new sessions 2, in flight 0\n", 'App, there');
    is(health(GET => '/ha-health/Drained'), "200 usable 1 of 2, open to new sessions 0, in flight 0\n",
        'one that is drained serves its own sessions alone');
    like(health(GET => '/ha-health/Nobody'), qr/^404 /, 'an unknown one');
    like(health(GET => '/ha-health/Other'), qr/^404 /, 'one that is not ours');
    like(health(POST => '/ha-health/'), qr/^405 /, 'POST');
    is($t->client->request(POST => '/ha-health/')->header('Allow') =~ /GET/ ? 1 : 0, 1, 'Allow: GET');
    is($t->client->get('/ha-health/')->header('Cache-Control'), 'no-store', 'never from a cache');
};

subtest 'ha-health counts what is in flight and who can be used' => sub {
    $a->hang;
    my $client = $t->client(cookies => 0);
    $client->send($client->format_request(GET => '/App/plain', headers => {Cookie => 'zsessionid=s.hostA'}));
    $t->wait_for(sub { $a->count->{hanging} == 1 });
    is(health(GET => '/ha-health/App'), "200 usable 2 of 2, open to new sessions 2, in flight 1\n", 'a request that hangs');
    $a->release;
    is($client->read_response->status, 200, 'is answered');
    is(health(GET => '/ha-health/App'), "200 usable 2 of 2, open to new sessions 2, in flight 0\n", 'and counted out');

    $t->wait_for(qr/App: member host$_: unknown -> up, status 200/) for qw(A B);
    $t->kill('hostA');
    $t->wait_for(qr/App: member hostA: up -> down, connect refused, 3 of 3 probes failed/);
    is(health(GET => '/ha-health/App'), "200 usable 1 of 2, open to new sessions 1, in flight 0\n", 'one is gone');
    $t->kill('hostB');
    $t->wait_for(qr/App: member hostB: up -> down/);
    is(health(GET => '/ha-health/App'), "503 usable 0 of 2, open to new sessions 0, in flight 0\n", 'both are');
    is(health(HEAD => '/ha-health/App'), '503 ', 'HEAD says so too');
    is(health(GET => '/ha-health/'), "200 serving\n", 'the proxy itself serves');
};

subtest 'balancers of ours need no lbmethod of mod_proxy' => sub {
    my $server = $t->httpd(
        haproxy => 1,
        modules => [qw(proxy proxy_http proxy_balancer slotmem_shm)],
        config => <<~"END",
            ${members}HABalancer App
            <Location "/manager">
                SetHandler balancer-manager
            </Location>
            <VirtualHost *>
                ServerName localhost
                ProxyPass "/manager" "!"
                ProxyPass "/App" "balancer://App/App"
            </VirtualHost>
            END
    );
    $t->start($_) for qw(hostA hostB);
    is(spread($t->client(port => $server->port, cookies => 0), '/App/plain', 10), 'hostA:5 hostB:5', 'it serves');
    my $page = HA::Manager->new(port => $server->port)->page;
    like($page, qr{<td>ha</td>}, 'balancer-manager shows who chooses');
    unlike($page, qr{<td>byrequests</td>}, 'and nobody else');
    $server->stop;
};

subtest 'all members can be exchanged by a graceful restart' => sub {
    my $some = sub ($n, $c) { return balancer('App', map {"$c$_"} 1 .. $n) . "HABalancer App\n" };
    for my $row ([16, 'x'], [16, 'y'], [16, 'z'], [40, 'v'], [16, 'w']) {
        my ($n, $c) = @$row;
        $httpd->write_config("HAMaxMembers $n\n" . $some->($n, $c));
        $httpd->graceful;
        ok($httpd->running, "now $n of $c");
    }
};

$t->done;
