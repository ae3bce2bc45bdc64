# SPDX-License-Identifier: Apache-2.0
# zero modproxy explain and the module: whatever does not depend on turns, both decide the same.
use v5.36;

use HA::Map;
use HA::Test;
use HA::Zero;

my $t = HA::Test->new;
my $a = $t->app('hostA');
my $b = $t->app('hostB');
$t->app('eu.west');

sub balancer($name, $sticky, @members)
{
    my @lines = map {
        my ($app, @params) = ref ? @$_ : $_;
        '    BalancerMember "' . $t->app($app)->url . qq(" route=$app @params);
    } @members;
    push @lines, "    ProxySet stickysession=$sticky" if $sticky;
    return join "\n", qq(<Proxy "balancer://$name">), @lines, "</Proxy>\n";
}

my $config = balancer('App', 'zsessionid', 'hostA', 'hostB')
    . balancer('Dots', 'zsessionid|sid', 'hostA', 'eu.west')
    . balancer('Own', '', 'hostA', 'hostB')
    . balancer('Hash', '', 'hostA', 'hostB', 'eu.west')
    . balancer('Path', '', 'hostA', 'hostB', 'eu.west')
    . balancer('Drain', 'zsessionid', ['hostA', 'status=N'], 'hostB')
    . balancer('Maint', 'zsessionid', ['hostA', 'status=D'], 'hostB')
    . balancer('Lost', 'zsessionid', ['hostA', 'status=D'], 'hostB', 'eu.west')
    . balancer('Standby', 'zsessionid', ['hostA', 'status=H'], 'hostB')
    . balancer('Sets', 'zsessionid', ['hostA', 'lbset=1'], 'hostB')
    . balancer('Strict', 'zsessionid', 'hostA', 'hostB')
    . <<~"END";
    ProxyPass "/App/local" "!"
    ProxyPass "/App/direct" "${\$b->url}/App"
    ProxyPass "/App/" "balancer://App/App/"
    ProxyPass "/App" "balancer://App/App"
    ProxyPass "/dots" "balancer://Dots/App"
    ProxyPass "/own" "balancer://Own/App"
    ProxyPass "/hash" "balancer://Hash/App"
    ProxyPass "/path" "balancer://Path/App"
    ProxyPass "/drain" "balancer://drain/App"
    ProxyPass "/maint" "balancer://Maint/App"
    ProxyPass "/lost" "balancer://Lost/App"
    ProxyPass "/standby" "balancer://Standby/App"
    ProxyPass "/sets" "balancer://Sets/App"
    ProxyPass "/strict" "balancer://Strict/App"
    <Location "/own/place">
        ProxyPass "${\$a->url}/App"
    </Location>
    HABalancer App
    HACheck    App uri=/App/health interval=200ms
    HABalancer Dots
    HABalancer Own affinity=insert:MINE
    HABalancer Hash method=hash affinity=none
    HABalancer Path method=hash hash-key=path affinity=none
    HABalancer Drain
    HABalancer Maint
    HABalancer Lost
    HABalancer Standby
    HABalancer Sets
    HABalancer Strict failover=strict
    HAStateFile "\@ROOT\@/run/members.state"
    END
my $proxy = $t->httpd(
    haproxy => 1,
    modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests)],
    config => $config,
);

# What explain says: {code, text, choice, cookie, next, next_cookie}; a choice among several is
# `any`, none is `nobody`.
sub replay($url, $cookie = '', @more)
{
    my @args = ('-conf=' . $proxy->conf, "-url=$url", '-client=127.0.0.1', @more);
    push @args, "-cookie=$cookie" if $cookie ne '';
    my ($code, $text, $err) = zero(qw(modproxy explain), @args);
    my ($first, $next) = split /^otherwise.*\n/m, $text;
    my %said = (code => $code, text => $text . $err);
    $said{choice} = $1 if ($first // '') =~ /^choice +(.*?): /m;
    $said{next} = $1 if ($next // '') =~ /\A +(.*?): /;
    for my $key (qw(choice next)) {
        $said{$key} = 'any' if ($said{$key} // '') =~ / or /;
    }
    ($said{cookie}) = ($first // '') =~ /Set-Cookie: (.*)$/m;
    ($said{next_cookie}) = ($next // '') =~ /Set-Cookie: (.*)$/m;
    return \%said;
}

# Who really answers: an instance, or `nobody`.
sub ask($url, $cookie = '')
{
    my @headers = $cookie eq '' ? () : (headers => {Cookie => $cookie});
    return $t->client(cookies => 0)->get($url, @headers);
}

my $jwt = 'zsessionid=eyJh.eyJz.c2ln.hostB';
my @table = (
    ['/App/plain', 'zsessionid=1.hostA', 'hostA'],
    ['/App/plain', 'zsessionid=1.hostB', 'hostB'],
    ['/App/', 'zsessionid=1.hostB', 'hostB'],
    ['/App', 'zsessionid=1.hostB', 'hostB'],
    ['/App//plain', 'zsessionid=1.hostB', 'hostB'],
    ['/App/%70lain', 'zsessionid=1.hostB', 'hostB'],
    ['/App/plain', 'zsessionid="1.hostA"', 'hostA'],
    ['/App/plain', $jwt, 'hostB'],
    ['/App/plain', 'a=b; zsessionid=1.hostC; zsessionid=2.hostB', 'hostB'],
    ['/App/plain', 'xzsessionid=1.hostA; zsessionid=1.hostB', 'hostB'],
    ['/App/plain', 'xzsessionid=1.hostA', 'any'],
    ['/App/plain', 'zsessionid=1.hosta', 'certain'],
    ['/App/plain', 'zsessionid=1', 'certain'],
    ['/App/plain', '', 'any'],
    ['/App/plain?zsessionid=1.hostA', '', 'any'],
    ['/App/x;zsessionid=1.hostB', '', 'hostB'],
    ['/App/x;zsessionid=1.hostB/y', '', 'hostB'],
    ['/App/x;zsessionid=1.hostB', 'zsessionid=1.hostA', 'hostA'],
    ['/dots/plain', 'zsessionid=1.eu.west', 'eu.west'],
    ['/dots/x;sid=1.eu.west', '', 'eu.west'],
    ['/dots/x;zsessionid=1.eu.west', '', 'any'],
    ['/own/plain', 'MINE=abc.hostB', 'hostB'],
    ['/own/plain', 'HAROUTE=abc.hostB', 'any'],
    ['/hash/plain', '', 'certain'],
    (map {["/path/p$_", '', 'certain']} 1 .. 12),
    ['/path/p1?q=other', '', 'certain'],
    ['/drain/plain', 'zsessionid=1.hostA', 'hostA'],
    ['/drain/plain', '', 'hostB'],
    ['/maint/plain', 'zsessionid=1.hostA', 'hostB'],
    ['/maint/plain', '', 'hostB'],
    ['/standby/plain', 'zsessionid=1.hostA', 'hostA'],
    ['/standby/plain', '', 'hostB'],
    ['/sets/plain', '', 'hostB'],
    ['/sets/plain', 'zsessionid=1.hostA', 'hostA'],
    ['/strict/plain', 'zsessionid=1.hostA', 'hostA'],
    (map {['/lost/plain', "zsessionid=$_.hostA", 'certain']} 1 .. 6),
    (map {['/lost/plain', "zsessionid=$_.gone", 'certain']} 1 .. 6),
);

for my $case (@table) {
    my ($url, $cookie, $want) = @$case;
    my $said = replay($url, $cookie);
    my $name = "$url" . ($cookie ne '' ? " with $cookie" : '');
    my $choice = $said->{choice} // 'no choice';
    if ($want eq 'certain') {
        like($choice, qr/^(?:hostA|hostB|eu\.west)$/, "$name: explain is certain");
    } else {
        is($choice, $want, "$name: explain says $want") or diag($said->{text});
    }
    is($said->{code}, 0, "$name: exit 0");
    next if $want eq 'any';
    my $answer = ask($url, $cookie);
    is($answer->instance, $choice, "$name: and so does the module") or diag($said->{text});
    my @ours = grep {!/^zsessionid=[0-9a-f]{32}\./} $answer->headers('Set-Cookie');
    is(scalar @ours, $said->{cookie} ? 1 : 0, "$name: a cookie of the proxy's, or none, as explain says")
        or diag($said->{text}, @ours);
}

for my $url ('/App/local/x', '/Apple', '/nowhere') {
    my $said = replay($url);
    is($said->{code}, 1, "$url: explain ends with 1");
    like($said->{text}, qr/^mount +(?:.*leaves it to the server|no ProxyPass takes it)/m, "$url: and says why");
    is(ask($url)->status, 404, "$url: the server answers by itself");
}
for my $case (['/App/direct/plain', $b], ['/own/place/plain', $a]) {
    my ($url, $app) = @$case;
    my $to = $app->url('/App/plain');
    like(replay($url)->{text}, qr/^choice .*the request goes to \Q$to\E$/m, "$url goes to one server");
    is(ask($url)->instance, $app->name, "$url: that is so");
}

subtest 'explain says whether the lane carries it, as far as the file goes' => sub {
    my $part = join '', map {'BalancerMember balancer://App "' . $_->url . '" route=' . $_->name . "\n"} $a, $b;
    $part .= qq(ProxyPass "/App" "balancer://App/App"\nHABalancer App\n);
    my $carried = sub ($text, $url = '/App/x') {
        my (undef, $said) = zero(qw(modproxy explain), '-conf=' . $t->write_file('x.conf', $part . $text), "-url=$url");
        my ($lines) = $said =~ /^carried   (.*\n(?: {10}.*\n)*)/m;
        return $lines =~ s/^ +//mgr =~ s{/\S+/x\.conf}{x.conf}gr;
    };
    my $perhaps = "unless a directive elsewhere acts on it: zero modproxy check on all of it knows\n";
    is($carried->(''), "by mod_proxy, as no HALane names it\n", 'without HALane');
    is($carried->("HALane On App\n"), "by the lane, as HALane of x.conf:5 says\n$perhaps", 'On, in a part');
    is($carried->("HALane On App\nListen 1\n"), "by the lane, as HALane of x.conf:5 says\n", 'On, in a whole file');
    is($carried->("HALane Off App\n"), "by mod_proxy: HALane (x.conf:5) is Off\n", 'Off');
    is($carried->("HALane On App\n", 'https://h/App/x'), "by mod_proxy, because the client speaks TLS\n", 'TLS');
    my $location = "HALane On App\nListen 1\n<Location /App/x>\nSetEnv x y\n</Location>\n";
    is($carried->($location), "by mod_proxy: SetEnv (x.conf:8) acts on it\n", 'a part that a directive acts on');
    is($carried->($location, '/App/xy'), "by the lane, as HALane of x.conf:5 says\n", 'beside that part');
    is($carried->("HALane On App\nListen 1\n<VirtualHost *:1>\nServerName h\nSetEnv x y\n</VirtualHost>\n",
        'http://h/App/x'), "by mod_proxy: SetEnv (x.conf:9) acts on it\n", 'in a virtual host');
    is($carried->("HALane On Ap\n"),
        "not judged for the lane: x.conf:5: HALane names Ap, but there is no HABalancer Ap: correct the name\n",
        'a HALane that is wrong');
};

subtest 'explain says which Include it has not followed' => sub {
    my $said = sub ($text) {
        my (undef, $out) = zero(qw(modproxy explain -url=/App/x), '-conf=' . $t->write_file('x.conf', $text));
        return join '', map {s{/\S+/x\.conf}{x.conf}r} $out =~ /^(not seen .*\n)/mg;
    };
    my $pass = "ProxyPass /App http://a/App\n";
    my $to_do = 'name the file that has the ProxyPass with -conf=';
    is($said->("${pass}Include App.conf\n"), "not seen  x.conf:2: Include is not followed: $to_do\n", 'where a ProxyPass is found');
    is($said->("IncludeOptional a.conf\nInclude b.conf\nUse c\n"),
        "not seen  x.conf:1: IncludeOptional is not followed, nor 2 more: $to_do\n", 'and where none is');
    is($said->($pass), '', 'nothing of one that is whole');
};

subtest "explain says that a session's record counts before its cookie" => sub {
    my $said = sub ($zone, @cookie) {
        my $text = balancer('App', 'zsessionid', 'hostA', 'hostB') . "ProxyPass /App balancer://App/App\nHABalancer App\n$zone";
        my ($code, $out, $err) = zero(qw(modproxy explain -url=/App/x), @cookie, '-conf=' . $t->write_file('x.conf', $text));
        return "$code " . join '', $err, map {s{/\S+/x\.conf}{x.conf}r} $out =~ /^(not seen .*\n)/mg;
    };
    my $cookie = '-cookie=zsessionid=7.hostA';
    my $why = 'if another member has taken the session over, it is the owner, and that counts before the cookie (zero zone get)';
    is($said->("HAZone App store=shm\n", $cookie), "0 not seen  HAZone of x.conf:8: $why\n", 'of a session with a zone');
    is($said->("HAZone App\n"), '0 ', 'not where there is no session');
    is($said->("HAZone App zone=STORAGE\n", $cookie), '0 ', 'nor where there are no states');
    like($said->("HAZone App budget=1m\n", $cookie), qr/^1 .*x\.conf:8: HAZone: budget=1m is not allowed, use 10ms to 1s/,
        'a line that the module refuses is refused');
};

subtest 'a member that cannot be reached' => sub {
    my $cookie = 'zsessionid=7.hostA';
    my %before = map {$_ => replay("/$_/plain", $cookie)} qw(App strict drain);
    my $own = replay('/own/plain', 'MINE=abc.hostA');
    $t->expect_log(qr/AH(?:00957|00959|01114|01102|00898|01110)/, qr/no member for/);
    $t->mark;
    $t->kill('hostA');
    my $moved = ask('/App/plain', $cookie);
    is($moved->instance, $before{App}{next}, 'App: the request goes where explain said');
    is($moved->header('Set-Cookie'), $before{App}{next_cookie}, 'and the answer has its cookie');
    is(ask('/drain/plain', $cookie)->instance, $before{drain}{next}, 'drain: the same');
    is(ask('/strict/plain', $cookie)->status, 503, 'strict: nobody');
    like($before{strict}{text}, qr/the client gets 503: failover=strict/, 'as explain said');
    my $set = ask('/own/plain', 'MINE=abc.hostA')->header('Set-Cookie');
    my $pattern = quotemeta($own->{next_cookie}) =~ s/\\<random\\>/[\\w-]{22}/r;
    like($set, qr/^$pattern$/, "own: $own->{next_cookie}");
};

subtest 'the state file tells explain what the server knew' => sub {
    $t->wait_for(qr/member hostA: up -> down/);
    $proxy->stop;
    my $state = '-state=' . $proxy->root . '/run/members.state';
    my $said = replay('/App/plain', 'zsessionid=7.hostA', $state);
    is($said->{choice}, 'hostB', 'the session of a member that is down goes elsewhere')
        or diag($said->{text});
    like($said->{text}, qr/hostA http:\S+: down: connect refused/, 'with the reason')
        or diag($said->{text});
    is(replay('/App/plain', '', $state)->{choice}, 'hostB', 'a new one as well');
};

# --- how it is called ------------------------------------------------------------------------
my $conf = '-conf=' . $proxy->conf;
my @calls = (
    [[$conf], 2, qr/-url= is missing/],
    [['-url=/x'], 2, qr/-conf= is missing/],
    [[$conf, '-url=x'], 2, qr/-url: "x" is neither a path/],
    [[$conf, '-url=/a%2Fb'], 2, qr/-url: "\/a%2Fb" has an escape/],
    [[$conf, '-url=/a/../b'], 2, qr/-url: .* segment/],
    [[$conf, "-url=/a\n"], 2, qr/-url: "\/a\\x0a" has a blank or a control byte/],
    [[$conf, '-url=/a?b c'], 2, qr/-url: "\/a\?b c" has a blank or a control byte/],
    [[$conf, '-url=http:///a'], 2, qr/-url: is empty, use a host name/],
    [[$conf, '-url=http://[/a'], 2, qr/-url: "\[" is not an IPv6 address/],
    [[$conf, "-url=https://a\eb/x"], 2, qr/-url: "a\\x1bb" has "\\x1b" at byte 2/],
    [[$conf, '-url=http://a:0/x'], 2, qr/-url: "0" is not a port/],
    [['-conf=' . $t->write_file('empty.conf', ''), '-url=/'], 1, qr/empty\.conf: is empty/],
    [[$conf, '-url=/App', '-client=me'], 2, qr/-client: "me" is not an IP address/],
    [[$conf, '-url=/App', '-mop=x'], 2, qr/unknown option -mop/],
    [[$conf, '-url=/App', 'more'], 2, qr/unexpected "more"/],
    [['-conf=' . $t->dir('none'), '-url=/App'], 3, qr/none: cannot be read/],
    [['-conf=' . $t->dir, '-url=/App'], 3, qr/is a folder/],
    [[$conf, '-url=/App', '-state=' . $t->dir('none')], 3, qr/none: cannot be read/],
    [[$conf, '-url=/App', '-state=' . $proxy->conf], 1, qr/httpd\.conf:1: /],
    [['-conf=' . $t->write_file('nul.conf', "A\0\n"), '-url=/'], 1, qr/nul\.conf:1: has a NUL byte/],
    [['-conf=' . $t->write_file('bad.conf', "BalancerMember balancer://a http://a route=a\n"
        . "ProxyPass / balancer://a/\nHABalancer a retries=99\n"), '-url=/'],
        1, qr/bad\.conf:3: HABalancer: retries=99 is not allowed, use 0 to 10/],
);
for my $call (@calls) {
    my ($argv, $code, $says) = @$call;
    ends_with_code([qw(modproxy explain), @$argv], $code, $says, "$says");
}
subtest 'explain takes the members and the active one from a map' => sub {
    my $map = HA::Map->new($t->dir('map'));
    my $conf = $t->write_file('map.conf', balancer('App', 'zsessionid', 'hostA', 'hostB')
        . qq(ProxyPass "/App" "balancer://App/App"\nHABalancer App queue=3 failover=strict\n));
    my @new = ({route => 'hostC', url => 'http://192.0.2.3:80'}, {route => 'hostB', url => $b->url, admin => 'maint'});
    my $ask = sub ($cookie, %app) {
        $map->next(App => {members => \@new, %app});
        return zero(qw(modproxy explain -url=/App/x), "-conf=$conf", '-map=' . $map->path, "-cookie=zsessionid=s.$cookie");
    };
    my ($code, $out) = $ask->('hostC');
    is($code, 0, 'there is a choice');
    like($out, qr/^map       version 1 of cluster 0f1e2d3c-\S+ names this balancer$/m, 'which map');
    like($out, qr/hostA \S+: assumed up, as configured$/m, 'a configured member');
    like($out, qr/hostB \S+: maint \(takes nothing\), assumed up, by the map$/m, 'one that is told something');
    like($out, qr/hostC \S+: assumed up, added by the map$/m, 'one that is added');
    like($out, qr{^choice    hostC: holds the session\n +the request goes to http://192\.0\.2\.3/App/x$}m, 'it is chosen');
    ($code, $out) = $ask->('hostA', active => 'hostC', epoch => 12);
    like($out, qr/active-passive: hostC is active, epoch 12$/m, 'the active one');
    like($out, qr/hostA \S+: passive \(gets nothing\), as configured$/m, 'a passive one');
    like($out, qr/^choice    hostC: takes over, the session's member cannot be used$/m, 'is chosen, even with strict');
    ($code, $out) = $ask->('hostA', active => undef, epoch => 12);
    is($code, 1, 'without one there is no choice');
    like($out, qr/^choice    nobody: no member is active; the client gets 503$/m, 'and why');
    $map->put('zero-map 1 3 x');
    ends_with_code([qw(modproxy explain -url=/), "-conf=$conf", '-map=' . $map->path], 1, qr/map:1: /, 'a bad map');
};

my @twice = map {replay('/App/plain')->{text}} 1, 2;
is($twice[0], $twice[1], 'the same question has the same answer');

$t->done;
