#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Tests of zero modproxy generate and merge: what they write, and every way to give them bad input.
use strict;
use warnings;
use lib ($ENV{top_srcdir} // '.') . '/t/lib';
use Cwd qw(abs_path getcwd);
use File::Basename qw(dirname);
use File::Copy ();
use HA::Zero;
use Test::More;

my $home = getcwd();
my $lib = abs_path(dirname($INC{'HA/Zero.pm'}) . '/..');
my $dir = folder();
chdir $dir or die;
my $old = "kept as it was\n";

# --- what people do --------------------------------------------------------------------------
mkdir 'App';
mkdir 'App/config';
spew('App/config/zero.config', <<'END');
# the application's own configuration
/config/name = "App"
/config/http/port = 8080
/config/contextRoot = "/App"
/config/apacheRouteID = "hostA"
/config/health = "/App/health"
/config/handlers += [{
    "path" : "/x"
}]
END
chdir 'App' or die;
ends_with_code([qw(modproxy generate -o=hostA.conf -host=hosta.example)], 0, qr/^$/,
    'Z1: generate -o=hostA.conf in an application folder succeeds without a word');
is(slurp('hostA.conf'), fragment(), 'Z1: it writes a self-contained include for that instance');
ends_with_code([qw(modproxy generate --o=hostB.conf --host=hostb.example -route=hostB)], 0, qr/^$/,
    'options may have two dashes');
ends_with_code([qw(modproxy merge -balancer -o=App.conf hostA.conf hostB.conf)], 0, qr/^$/,
    'Z2: merge -balancer -o=App.conf hostA.conf hostB.conf succeeds without a word');
my $merged = slurp('App.conf');
is($merged, <<'END', 'Z2: it writes one balancer, sticky by route');
# zero-merge: 1
<Proxy "balancer://App">
    BalancerMember "http://hosta.example:8080" route=hostA
    BalancerMember "http://hostb.example:8080" route=hostB
    ProxySet stickysession=zsessionid
</Proxy>
ProxyPass        "/App" "balancer://App/App"
ProxyPassReverse "/App" "balancer://App/App"
<IfModule haproxy_module>
    HABalancer App
    HACheck    App uri=/App/health
    HALane     On App
</IfModule>
END
is(ends_with_code([qw(modproxy merge hostB.conf -balancer hostA.conf)], 0, qr/^$/,
    'options may stand between operands, and - is standard output'), $merged,
    'Z2: the same fragments in another order give the same bytes');
is(ends_with_code([qw(modproxy generate -o=- -host=hosta.example)], 0, qr/^$/, '-o=- prints'),
    fragment(), 'what is printed is the fragment');
my $inode = (stat 'App.conf')[1];
zero(qw(modproxy merge -balancer -o=App.conf hostA.conf hostB.conf));
is((stat 'App.conf')[1], $inode, 'an unchanged file is not written again');
chmod 0640, 'App.conf';
zero(qw(modproxy merge -balancer -o=App.conf hostA.conf));
is((stat 'App.conf')[2] & 07777, 0640, 'a replaced file keeps its mode');
symlink 'App.conf', 'link.conf';
zero(qw(modproxy merge -balancer -o=link.conf hostA.conf hostB.conf));
ok(-l 'link.conf' && slurp('App.conf') eq $merged, 'a symbolic link stays and its file is replaced');
unlink 'link.conf';
symlink 'nowhere/x', 'dangling.conf';
ends_with_code([qw(modproxy merge -balancer -o=dangling.conf hostA.conf hostB.conf)], 3,
    qr/dangling\.conf: is a symbolic link that leads nowhere/, 'a dangling link is refused');

# --- notes ----------------------------------------------------------------------------------
my $unseen = qr/application App has no health path: an instance that hangs is only noticed by its requests/;
spew('blind.conf', fragment(health => ''));
spew('blindB.conf', fragment(health => '', host => 'hostb.example', route => 'hostB'));
ends_with_code([qw(modproxy merge -balancer blind.conf blindB.conf)], 0,
    qr/\Azero modproxy merge: note: $unseen, give -health=PATH to generate\n\z/, 'merge names who has no health path');
spew('free.conf', fragment(sticky => ''));
spew('freeB.conf', fragment(sticky => '', host => 'hostb.example', route => 'hostB'));
ends_with_code([qw(modproxy merge -balancer free.conf freeB.conf)], 0,
    qr/\A[^\n]*: note: application App has no session cookie: [^\n]* HABalancer App affinity=insert beside the Include\n\z/, 'merge names whose sessions do not stick');
ends_with_code([qw(modproxy merge free.conf)], 0, qr/^$/, 'not without balancers');
ends_with_code([qw(modproxy merge -balancer free.conf)], 0, qr/\A[^\n]* has one member [^\n]*\n\z/, 'nor of one that is alone');
mkdir 'blind';
chdir 'blind' or die;
ends_with_code([qw(modproxy generate -app=App -host=hosta.example)], 0,
    qr/\Azero modproxy generate: note: $unseen, give -health=PATH\n\z/, 'so does generate');
ends_with_code([qw(modproxy generate -app=App -host=hosta.example -health=/up)], 0, qr/^$/, 'not when there is one');
chdir '..' or die;

# --- -diff -----------------------------------------------------------------------------------
is(ends_with_code([qw(modproxy merge -balancer -diff -o=App.conf hostA.conf hostB.conf)], 0, qr/^$/,
    '-diff ends with 0 when nothing would change'), '', 'and says nothing');
is(ends_with_code([qw(modproxy merge -balancer -diff -o=App.conf hostA.conf)], 1, qr/^$/,
    '-diff ends with 1 when something would change'),
    "App.conf would change: app App: member hostB removed (http://hostb.example:8080)\n", 'and says what');
is(slurp('App.conf'), $merged, '-diff writes nothing');
is(ends_with_code([qw(modproxy merge -balancer -lane=on hostA.conf hostB.conf)], 0, qr/^$/, '-lane=on'),
    $merged, 'is what is written without -lane');
is(ends_with_code([qw(modproxy merge -balancer -lane=off hostA.conf hostB.conf)], 0, qr/^$/, '-lane=off'),
    $merged =~ s/On App/Off App/r, 'says so, so that no HALane beside it takes the application along');
is(ends_with_code([qw(modproxy merge -balancer -lane=off -diff -o=App.conf hostA.conf hostB.conf)], 1, qr/^$/,
    '-lane=off -diff'), "App.conf would change: HALane changed from On to Off\n", 'names the lane');
my $unsaid = spew('unsaid.conf', $merged =~ s/^ +HALane .*\n//mr);
is(ends_with_code([qw(modproxy merge -balancer -diff -o=unsaid.conf hostA.conf hostB.conf)], 1, qr/^$/,
    'a file that says nothing of the lane is read'), "unsaid.conf would change: HALane changed from none to On\n", 'and -diff says what it gets');
ends_with_code([qw(modproxy merge -balancer -o=unsaid.conf hostA.conf hostB.conf)], 0, qr/^$/,
    'merge replaces it without -force');
is(slurp('unsaid.conf'), $merged, 'with one that says On');
unlink 'unsaid.conf';
ends_with_code([qw(modproxy merge -diff hostA.conf)], 2, qr/-diff compares with a file, add -o=FILE/,
    '-diff needs a file');
spew('other.conf', $old);
ends_with_code([qw(modproxy merge -diff -o=other.conf hostA.conf)], 1,
    qr/other\.conf:1: is not a merged file/, '-diff with a file of others is refused');

# --- -zones ----------------------------------------------------------------------------------
my @memcached = qw(-zones=user,storage -store=memcached:hostA:11211,hostB:11211);
my $zone = '    HAZone     App zone=USER,STORAGE store=memcached:hosta:11211,hostb:11211 key=zone.key';
my $zoned = $merged =~ s/(?=^ +HALane)/$zone\n/mr;
ends_with_code([qw(modproxy merge -balancer -o=zoned.conf hostA.conf hostB.conf), @memcached], 0, qr/^$/,
    'merge -zones= -store= succeeds without a word');
is(slurp('zoned.conf'), $zoned, 'it writes HAZone beside HABalancer, where a stock httpd passes it over');
is(ends_with_code([qw(modproxy merge -balancer hostB.conf hostA.conf), reverse @memcached], 0, qr/^$/, 'once more'), $zoned,
    'the same bytes again');
like(ends_with_code([qw(modproxy merge -balancer -zones=USER hostA.conf hostB.conf)], 0, qr/^$/, '-zones without -store'),
    qr/^    HAZone     App zone=USER store=shm\n/m, 'is in shared memory, without a key');
like(ends_with_code([qw(modproxy merge -balancer -key=/etc/z.key hostA.conf hostB.conf), @memcached], 0, qr/^$/, '-key'),
    qr/:11211 key=\/etc\/z\.key\n/, 'names another key file');
is(ends_with_code([qw(modproxy merge -balancer -diff -o=zoned.conf hostA.conf hostB.conf -zones=USER)], 1, qr/^$/, 'with -diff'),
    'zoned.conf would change: HAZone changed from zone=USER,STORAGE store=memcached:hosta:11211,hostb:11211 key=zone.key '
    . "to zone=USER store=shm\n", 'it says what would change');
ends_with_code([qw(modproxy merge -balancer -o=zoned.conf hostA.conf hostB.conf)], 0, qr/^$/, 'and without it');
is(slurp('zoned.conf'), $merged, 'they are taken out again');
spew('zoned.conf', $zoned =~ s/zone=USER,STORAGE/zone=STORAGE,USER/r);
ends_with_code([qw(modproxy merge -balancer -o=zoned.conf hostA.conf hostB.conf)], 1,
    qr/zoned\.conf:12: "    HAZone .*" is not what zero modproxy merge writes/, 'an edited line is refused');
unlink 'zoned.conf';
ends_with_code([qw(modproxy merge -balancer -zones=USER free.conf freeB.conf)], 1,
    qr/\A[^\n]*: application App has no session cookie, so there is no session [^\n]* -sticky=COOKIE to zero modproxy generate [^\n]*\n\z/,
    'without a session cookie there is no USER');
like(ends_with_code([qw(modproxy merge -balancer -zones=STORAGE free.conf freeB.conf)], 0, qr/has no session cookie: each/, 'but STORAGE'),
    qr/^    HAZone     App zone=STORAGE store=shm\n/m, 'belongs to no session');

my @one = qw(modproxy merge -balancer -zones=USER -key=z.key hostA.conf hostB.conf);
my $note = qr/zero modproxy merge: note:/;
ends_with_code([@one, '-store=memcached:hostA:11211'], 0,
    qr/\A$note there is one memcached, so no second copy, and its loss is the loss of all: name another one [^\n]*\n\z/,
    'one memcached alone is taken with a note');
ends_with_code([@one, "-store=memcached:$_,hostB:11211"], 0,
    qr/\A$note the memcached \Q$_\E is this proxy's own machine, and to another proxy it is another one: [^\n]*\n\z/,
    "$_ beside another host, too") for 'localhost:11211', '127.0.0.1:11211', '[::1]:11211';
ends_with_code([@one, '-store=memcached:127.0.0.1:1,127.0.0.1:2'], 0, qr/^$/, 'not two on this machine');
spew('shopA.conf', fragment(app => 'Shop', context => '/Shop', route => 'hostC', port => 8081));
spew('shopB.conf', fragment(app => 'Shop', context => '/Shop', route => 'hostD', port => 8081, host => 'hostb.example'));
ends_with_code([@one, '-store=memcached:hostA', qw(shopA.conf shopB.conf)], 0, qr/\A$note there is one memcached[^\n]*\n\z/,
    'for several applications it is said once');

# --- -upgrade --------------------------------------------------------------------------------
is(ends_with_code([qw(modproxy generate -host=hosta.example -upgrade=websocket)], 0, qr/^$/, '-upgrade'),
    fragment(upgrade => 'websocket'), 'is in the fragment, for itself and for merge');
spew("up$_.conf", fragment(upgrade => 'websocket', host => lc "host$_.example", route => "host$_")) for qw(A B);
my $upgrades = $merged =~ s/(?<=route=)host.\K/ upgrade=websocket/gr;
is(ends_with_code([qw(modproxy merge -balancer -o=up.conf upA.conf upB.conf)], 0, qr/^$/, 'merge'), '', 'says nothing');
is(slurp('up.conf'), $upgrades, 'it is a parameter of each member');
is(ends_with_code([qw(modproxy merge -balancer -diff -o=up.conf hostA.conf hostB.conf)], 1, qr/^$/, 'and read again'),
    "up.conf would change: app App: upgrade changed from websocket to none\n", 'by -diff');
spew('up.conf', $upgrades =~ s/ upgrade=websocket//r);
ends_with_code([qw(modproxy merge -balancer -o=up.conf upA.conf upB.conf)], 1, qr/up\.conf:3: .* is not what zero modproxy merge/,
    'one member alone does not have it');
like(ends_with_code([qw(modproxy merge upA.conf)], 0, qr/^$/, 'without balancers'),
    qr{^# app: App .* upgrade=websocket\nProxyPass        "/App" "http://hosta\.example:8080/App" upgrade=websocket\n}m,
    'it is one of ProxyPass');

# --- different applications ------------------------------------------------------------------
spew('shop.conf', fragment(app => 'Shop', context => '/App/shop', route => 'hostB', sticky => ''));
like(ends_with_code([qw(modproxy merge hostA.conf shop.conf)], 0, qr/^$/,
    'Z2: without -balancer different applications are joined'),
    qr{"/App/shop".*"/App" }s, 'Z2: the longer context comes first');

# --- usage -----------------------------------------------------------------------------------
my @usage = (
    [[qw(modproxy merge -lanes=on hostA.conf)],
        qr/unknown option -lanes, allowed are -balancer, -o=FILE, -lane=on\|off, -zones=ZONES, -store=STORE, -key=FILE, -diff, -force/],
    [[qw(modproxy merge -balancer -lane=yes hostA.conf)], qr/-lane: "yes" is not allowed, use on or off/],
    [[qw(modproxy merge -balancer -lane=On hostA.conf)], qr/-lane: "On" is not allowed, use on or off/],
    [['modproxy', 'merge', '-balancer', "-lane=on\x1b", 'hostA.conf'], qr/-lane: "on\\x1b" is not allowed/],
    [[qw(modproxy merge -balancer -lane= hostA.conf)], qr/-lane has no value, write -lane=on\|off/],
    [[qw(modproxy merge -lane=on hostA.conf)], qr/-lane=on is about balancers, add -balancer or leave it out/],
    [[qw(modproxy merge -lane=off hostA.conf)], qr/-lane=off is about balancers, add -balancer or leave it out/],
    [[qw(modproxy merge -zones=USER hostA.conf)], qr/-zones= is about balancers, add -balancer or leave it out/],
    [[qw(modproxy merge -balancer -store=shm hostA.conf)],
        qr/-store= is about zones, add -zones=USER, STORAGE or both, or leave it out/],
    [[qw(modproxy merge -balancer -key=zone.key hostA.conf)],
        qr/-key= is about zones, add -zones=USER, STORAGE or both, or leave it out/],
    [[qw(modproxy merge -balancer -zones=USERS hostA.conf)], qr/-zones: a zone is USER, STORAGE or USER,STORAGE/],
    [[qw(modproxy merge -balancer -zones=USER,USER hostA.conf)], qr/-zones: a zone is USER, STORAGE or USER,STORAGE/],
    [[qw(modproxy merge -balancer -zones= hostA.conf)], qr/-zones has no value, write -zones=ZONES/],
    [[qw(modproxy merge -balancer -zones=USER -store=memcached: hostA.conf)], qr/-store: "" is no memcached: write host, /],
    [['modproxy', 'merge', '-balancer', '-zones=USER', "-store=memcached:a\x1b", 'hostA.conf'], qr/-store: "a\\x1b" is no /],
    [[qw(modproxy merge -balancer -zones=USER -store=memcached:a,A:11211 hostA.conf)], qr/-store: the memcached a:11211 is there twice/],
    [[qw(modproxy merge -balancer -zones=USER -store=shm:1K hostA.conf)], qr/-store: "1K" is no size of shm: 1M to 64G/],
    [[qw(modproxy merge -balancer -zones=USER -store=redis:a hostA.conf)], qr/-store: "redis:a" is no store: write shm, /],
    [[qw(modproxy merge -balancer -zones=USER -key=none hostA.conf)], qr/-key: "none" is not the name of a file without/],
    [['modproxy', 'merge', '-balancer', '-zones=USER', '-key=a b', 'hostA.conf'], qr/-key: "a b" is not the name of a file/],
    [[qw(modproxy merge -balancr hostA.conf)], qr/unknown option -balancr/],
    [['modproxy', 'merge', "-a\nb", 'x'], qr/unknown option -a\\x0ab/],
    [[qw(modproxy merge -balancer=yes hostA.conf)], qr/-balancer takes no value/],
    [[qw(modproxy merge -balancer -balancer hostA.conf)], qr/-balancer is given twice/],
    [[qw(modproxy merge -o hostA.conf)], qr/-o has no value, write -o=FILE/],
    [[qw(modproxy merge -o= hostA.conf)], qr/-o has no value, write -o=FILE/],
    [[qw(modproxy merge)], qr/FRAGMENT\.\.\. is missing, see zero help modproxy merge/],
    [[qw(modproxy merge --)], qr/FRAGMENT\.\.\. is missing/],
    [[qw(modproxy check)], qr/FILE\.\.\. is missing/],
    [[qw(modproxy generate hostA.conf)], qr/unexpected "hostA\.conf"/],
    [[qw(modproxy generate -port=0)], qr/-port: "0" is not a port, use 1 to 65535/],
    [[qw(modproxy generate -port=65536)], qr/-port: "65536" is not a port/],
    [[qw(modproxy generate -host=http://h:80)], qr/-host: "http:\/\/h:80" is a URL, name the host alone/],
    [[qw(modproxy generate -host=h:80)], qr/-host: "h:80" has a port, name the host alone/],
    [[qw(modproxy generate -host=1:2:x)], qr/-host: "1:2:x" is not an IPv6 address/],
    [[qw(modproxy frobnicate)], qr/unknown command "modproxy frobnicate", there are:/],
    [[qw(frobnicate)], qr/unknown command "frobnicate", there are:/],
    [[qw(help frobnicate)], qr/unknown command "frobnicate"/],
    [[qw(help modproxy frobnicate)], qr/unknown command "modproxy frobnicate", there are:/],
    [[qw(help -x)], qr/unknown command "-x"/],
    [[qw(-x)], qr/unknown command "-x"/],
    [[qw(modproxy -x)], qr/unknown command "modproxy -x"/],
    [[qw(help modproxy merge -x)], qr/unexpected "-x", see zero help/],
    [[qw(-help modproxy merge more)], qr/unexpected "more"/],
    [[qw(modproxy help merge)], qr/unexpected "merge"/],
    [[qw(-version -x)], qr/unexpected "-x"/],
    [[qw(modproxy check -httpd=relative App.conf)], qr/-httpd: "relative" is not an absolute path/],
);
for my $case (@usage) {
    (my $name = "zero @{$case->[0]}: a sentence and exit 2") =~ s/\n/\\n/g;
    ends_with_code($case->[0], 2, $case->[1], $name);
}
ends_with_code([qw(modproxy merge -balancer -- -x.conf)], 3, qr/-x\.conf: cannot be read/,
    '-- ends the options');
like(ends_with_code([qw(help modproxy merge)], 0, qr/^$/, 'help of a command'),
    qr/^zero modproxy merge .*FRAGMENT\.\.\./, 'shows how it is called');
my $merge_help = qr/^zero modproxy merge .*FRAGMENT\.\.\./;
like(ends_with_code([qw(modproxy), @$_], 0, qr/^$/, "zero modproxy @$_"), $merge_help, 'explains the command')
    for [qw(merge -help)], [qw(merge --help)], [qw(merge -h)], [qw(merge help)], [qw(merge -balancer hostA.conf --help)];
like(ends_with_code([@$_], 0, qr/^$/, "zero @$_"), qr/generate.*merge.*check/s, 'explains')
    for ['-h'], ['--help'], [qw(modproxy -h)], [qw(modproxy --help)];
ends_with_code([qw(modproxy merge -balancer -- -help)], 3, qr/-help: cannot be read/, 'behind -- it is a file');
ends_with_code([qw(modproxy merge help hostA.conf)], 3, qr/help: cannot be read/, 'so is help beside others');
for my $command (['zone get', qw(conf app sid)], ['modproxy explain', qw(conf url)]) {
    my ($name, @needed) = @$command;
    my $help = ends_with_code(['help', split ' ', $name], 0, qr/^$/, "help of $name");
    my ($synopsis) = $help =~ /\Azero $name ([^\n]*)\n/;
    my @shown = $synopsis =~ /(?<!\[)-(\w+)=/g;
    is("@shown", "@needed", 'shows what it needs without brackets');
    my @given = map {"-$_=x"} @needed;
    for my $i (0 .. $#needed) {
        my @others = @given[grep {$_ != $i} 0 .. $#needed];
        ends_with_code([(split ' ', $name), @others], 2, qr/-$needed[$i]= is missing, see zero help $name/, "without -$needed[$i]=");
    }
}
like(ends_with_code(['modproxy'], 0, qr/^$/, 'a group alone'), qr/generate.*merge.*check/s, 'shows help');
like(ends_with_code(['-version'], 0, qr/^$/, '-version'), qr/^zero \d/, 'shows the version');
like(ends_with_code([], 0, qr/^$/, 'zero alone'), qr/Exit status/, 'shows the help');

# --- names that try to leave their quotes ----------------------------------------------------
my @evil = ("a\nListen 1", 'a\\', 'a"b', 'a>b', '</Proxy>', '${PATH}', 'a%{b}', "a'b", "a\x01b",
    "a\xffb", 'a b', "a\tb", 'a`b');
for my $option (qw(app route sticky host port context health upgrade)) {
    for my $value (@evil) {
        my $path = $option =~ /context|health/ ? "/$value" : $value;
        spew('target.conf', fragment());
        my ($code, $out, $err) = zero(qw(modproxy generate -o=target.conf), "-$option=$path");
        (my $shown = $path) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
        ok($code == 2 && $err =~ /: -$option: "/ && $err !~ /[^ -~\n]/ && ($err =~ tr/\n//) == 1,
            "generate -$option=$shown: one clean sentence and exit 2") or diag("$code $err");
        is(slurp('target.conf'), fragment(), 'the target is untouched');
    }
}
for my $key (qw(app context url route sticky health upgrade)) {
    for my $value (@evil) {
        (my $text = fragment(health => '/h', upgrade => 'x')) =~ s/^(# $key: ).*$/$1/m;
        $text =~ s/^(# $key: )$/$1$value/m;
        spew('evil.conf', $text);
        spew('target.conf', $old);
        my ($code, $out, $err) = zero(qw(modproxy merge -balancer -o=target.conf evil.conf hostB.conf));
        (my $shown = $value) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
        ok($code == 1 && $err =~ /evil\.conf:\d+: / && $err !~ /[^ -~\n]/,
            "a fragment with # $key: $shown: refused with its line") or diag("$code $err");
        is(slurp('target.conf'), $old, 'the target is untouched');
    }
}

# --- fragments that are none -----------------------------------------------------------------
my %bad = (
    'an empty file' => ['', qr/bad\.conf: is empty/],
    'a 1 MB line' => ['# ' . 'x' x (1 << 20) . "\n", qr/bad\.conf:1: the line has \d+ bytes, at most 8192/],
    'a NUL byte' => [fragment(app => "A\0"), qr/bad\.conf:2: has a NUL byte/],
    'a control byte' => [fragment(app => "A\x1b"), qr/bad\.conf:2: has the control byte \\x1b/],
    'invalid UTF-8' => [fragment(app => "A\xc3"), qr/bad\.conf:2: has the byte \\xc3, which is not UTF-8/],
    'CRLF' => [fragment() =~ s/\n/\r\n/gr, qr/bad\.conf:1: ends in CR LF/],
    'a file of 3 MB' => ['x' x (3 << 20), qr/bad\.conf: has 3145728 bytes, at most 2097152/],
    'an edited fragment' => [fragment() . "Listen 1\n",
        qr/bad\.conf:10: edited by hand at "Listen 1": run zero modproxy generate again/],
    'another version' => [fragment() =~ s/fragment: 1/fragment: 2/r, qr/bad\.conf:1: is a fragment of version "2"/],
    'a merged file' => [$merged, qr/bad\.conf:1: is a merged file, not a fragment/],
    'something else' => ["Listen 80\n", qr/bad\.conf:1: is not a fragment/],
    'a truncated fragment' => [substr(fragment(), 0, -10), qr/bad\.conf:\d: the last line has no newline/],
);
for my $what (sort keys %bad) {
    spew('bad.conf', $bad{$what}[0]);
    spew('target.conf', $old);
    ends_with_code([qw(modproxy merge -balancer -o=target.conf bad.conf hostB.conf)], 1, $bad{$what}[1],
        "$what is refused with a sentence");
    is(slurp('target.conf'), $old, 'the target is untouched');
}

# --- conflicts -------------------------------------------------------------------------------
my @conflicts = (
    ['the same route twice', {host => 'hostb.example'}, qr/the route hostA is in hostA\.conf and in b\.conf/],
    ['the same host and port twice', {route => 'z'}, qr/hosta\.example:8080 is in hostA\.conf and in b\.conf/],
    ['0.0.0.0 beside a host', {route => 'z', host => '0.0.0.0'}, qr/b\.conf names 0\.0\.0\.0/],
    [':: beside a host', {route => 'z', host => '[::]'}, qr/b\.conf names \[::\]/],
    ['loopback beside a host', {route => 'z', host => '127.0.0.1'}, qr/b\.conf names 127\.0\.0\.1/],
    ['localhost beside a host', {route => 'z', host => 'localhost'}, qr/b\.conf names localhost/],
    ['another context', {route => 'z', host => 'b', context => '/B'}, qr/context is \/App in hostA\.conf but \/B in b\.conf/],
    ['another cookie', {route => 'z', host => 'b', sticky => 'x'}, qr/sticky is zsessionid in hostA\.conf but x/],
    ['no cookie', {route => 'z', host => 'b', sticky => ''}, qr/sticky is zsessionid in hostA\.conf but none/],
    ['another protocol to upgrade to', {route => 'z', host => 'b', upgrade => 'ANY'}, qr/upgrade is none in hostA\.conf but ANY/],
    ['another health path', {route => 'z', host => 'b', health => '/h'}, qr/health is \/App\/health in hostA\.conf but \/h/],
);
for my $case (@conflicts) {
    my ($what, $with, $says) = @$case;
    spew('b.conf', fragment(%$with));
    spew('target.conf', $old);
    ends_with_code([qw(modproxy merge -balancer -o=target.conf b.conf hostA.conf)], 1, $says,
        "Z2: $what is refused");
    is(slurp('target.conf'), $old, 'the target is untouched');
}
ends_with_code([qw(modproxy merge hostA.conf hostB.conf)], 1, qr/use -balancer/,
    'two fragments of one application need -balancer');
ends_with_code([qw(modproxy merge -balancer hostA.conf hostA.conf)], 1, qr/the route hostA is in/,
    'Z2: the same file twice is refused');
ends_with_code([qw(modproxy merge -balancer -o=hostA.conf hostA.conf hostB.conf)], 1,
    qr/hostA\.conf: is a fragment and would be lost/, 'a fragment is never the target');
ends_with_code([qw(modproxy merge -balancer -force -o=hostA.conf hostA.conf hostB.conf)], 1,
    qr/hostA\.conf: is a fragment and would be lost/, 'not even with -force');

# --- what somebody wrote -------------------------------------------------------------------------
my @merge = qw(modproxy merge -balancer -o=target.conf hostA.conf hostB.conf);
my @edits = (
    # what, the edited text, where merge and -diff see it
    ['a directive of our own', $merged =~ s/HABalancer App\K/ max=9/r, 10, '    HABalancer App max=9'],
    ['a member with a parameter', $merged =~ s/=hostB\K/ loadfactor=2/r, 4,
        '    BalancerMember "http://hostb.example:8080" route=hostB loadfactor=2'],
    ['a parameter of the balancer', $merged =~ s/=zsessionid\K/ timeout=5/r, 5,
        '    ProxySet stickysession=zsessionid timeout=5'],
    ['a comment', $merged =~ s/^(?=ProxyPass )/# ours\n/mr, 7, '# ours'],
    ['a line behind it', $merged . "Listen 80\n", 14, 'Listen 80'],
    ['another word for the lane', $merged =~ s/(?=On App)/Require /r, 12, '    HALane     Require On App'],
    ['a name', $merged =~ s/(?<=balancer:\/\/)App(?=">)/-App/r, 2, '<Proxy "balancer://-App">'],
);
for my $edit (@edits) {
    my ($what, $text, $line, $shown) = @$edit;
    my $quoted = quotemeta($shown =~ s/"/\\"/gr);
    my $says = qr/target\.conf:$line: "$quoted" is not what zero modproxy merge writes/;
    spew('target.conf', $text);
    ends_with_code(\@merge, 1, qr/$says: use another name, or -force to replace the file$/m, "$what is not lost");
    is(slurp('target.conf'), $text, 'the target is untouched');
    ends_with_code([@merge, '-diff'], 1, qr/$says$/m, "$what, with -diff");
}
spew('target.conf', $old);
ends_with_code(\@merge, 1, qr/target\.conf:1: is not a merged file: .*: use another name, or -force/,
    'a file of others is not lost');
ends_with_code([@merge, '-force'], 0, qr/^$/, '-force replaces it');
is(slurp('target.conf'), $merged, 'with the merged text');
spew('target.conf', '');
ends_with_code(\@merge, 0, qr/^$/, 'an empty file is filled');
is(slurp('target.conf'), $merged, 'with the merged text');

# --- files -----------------------------------------------------------------------------------
ends_with_code([qw(modproxy merge nothere.conf)], 3, qr/nothere\.conf: cannot be read: No such file/,
    'a missing fragment is named');
mkdir 'folder';
ends_with_code([qw(modproxy merge folder)], 3, qr/folder: is a folder, not a file/,
    'a folder for a fragment');
ends_with_code([qw(modproxy merge -o=folder hostA.conf)], 3, qr/folder: is a folder/, 'a folder for the target');
ends_with_code([qw(modproxy generate -o=folder)], 3, qr/folder: is a folder/, 'and for generate');
ends_with_code([qw(modproxy merge -o=no/where hostA.conf)], 3, qr/no\/where: cannot be written/,
    'a target in a folder that is not there');
ends_with_code([qw(modproxy merge /dev/zero)], 3, qr/\/dev\/zero: is not a regular file/, 'a device');
spew('mine.conf', $old);
ends_with_code([qw(modproxy generate -o=mine.conf)], 1, qr/mine\.conf: is there and is not a fragment/,
    'generate does not replace a file of others');
is(slurp('mine.conf'), $old, 'the file is untouched');
ends_with_code([qw(modproxy generate -o=mine.conf -host=hosta.example -force)], 0, qr/^$/,
    'but does with -force');
is(slurp('mine.conf'), fragment(), 'and then it is the fragment');
ends_with_code([qw(modproxy generate -host=127.0.0.1)], 0, qr/note: 127\.0\.0\.1 means another machine/,
    'a loopback host is taken with a note');
spew('config/zero.config', "\n/config/http/port = 99999\n");
ends_with_code([qw(modproxy generate)], 1,
    qr/config\/zero\.config:2: \/config\/http\/port: "99999" is not a port/,
    'a bad value in config/zero.config is named with line and key');
unlink 'config/zero.config';

chmod 0755, $dir;
chmod 0777, '.';
chmod 0000, 'hostB.conf';
my ($code, $out, $err) = as_user($dir, qw(modproxy merge -balancer hostA.conf hostB.conf));
ok($code == 3 && $err =~ /hostB\.conf: cannot be read: Permission denied/, 'an unreadable fragment')
    or diag("$code $err");
chmod 0644, 'hostB.conf';
mkdir 'shut';
spew('shut/App.conf', $old);
chmod 0555, 'shut';
($code, $out, $err) = as_user($dir, qw(modproxy merge -force -balancer -o=shut/App.conf hostA.conf hostB.conf));
ok($code == 3 && $err =~ /shut\/App\.conf: cannot be written: Permission denied/, 'an unwritable folder')
    or diag("$code $err");
is(slurp('shut/App.conf'), $old, 'the target is untouched');

SKIP: {
    skip 'an ordinary user enters what is his own', 1 if $> != 0;
    mkdir 'private', 0700;
    File::Copy::copy(zero_bin(), 'private/zero') or die;
    chmod 0755, 'private/zero';
    local $ENV{top_builddir} = 'private';
    my @program = ($^X, '-I', $lib, '-MHA::Zero',
        '-e', 'print +(as_user(@ARGV))[1]');
    my ($code, $out, $err) = HA::Zero::run_program(@program, $dir, '-version');
    like($out, qr/^zero \d/, 'a build that only root may enter can be tested') or diag($err);
}

SKIP: {
    skip 'mounting a small disk needs root', 3 if $> != 0;
    mkdir 'full';
    my $script = 'mount -t tmpfs -o size=16k tmpfs full && printf "%s" "$1" > full/App.conf'
        . ' && { dd if=/dev/zero of=full/fill bs=1k count=64 2>/dev/null; true; }'
        . ' && shift && { "$@"; echo "code $?"; cat full/App.conf; ls -A full; } 2>&1';
    my @command = ('unshare', '-m', 'sh', '-c', $script, 'sh', $old, zero_bin(),
        qw(modproxy merge -force -balancer -o=full/App.conf hostA.conf hostB.conf));
    open my $said, '-|', @command or die;
    my $text = do { local $/; <$said> } // '';
    close $said;
    skip 'this machine has no mount namespaces', 3 if $text !~ /code/;
    like($text, qr/App\.conf: cannot be written: No space left on device\ncode 3\n/,
        'a full disk is said, exit 3');
    like($text, qr/\Q$old\E/, 'the target is untouched');
    unlike($text, qr/^\./m, 'no temporary file is left');
}
my @merge = (zero_bin(), qw(modproxy merge -balancer hostA.conf hostB.conf));
my $full = system('sh', '-c', '"$@" >/dev/full 2>err.txt', 'sh', @merge);
ok($full >> 8 == 3 && slurp('err.txt') =~ /standard output cannot be written/, 'a full standard output');
my $closed = system('sh', '-c', '"$@" >&- 2>err.txt', 'sh', @merge);
ok($closed >> 8 == 3, 'a closed standard output') or diag($closed);

# --- many ------------------------------------------------------------------------------------
mkdir 'many';
for my $i (0 .. 10000) {
    spew("many/$i.conf", fragment(host => "h$i.example", route => "r$i"));
}
my @all = map { "many/$_.conf" } 0 .. 10000;
ends_with_code(['modproxy', 'merge', '-balancer', '-o=many.conf', @all[0 .. 9999]], 0,
    qr/note: 10000 members: mod_haproxy has room for 1024, set HAMaxMembers 10000/,
    '10,000 fragments are taken, with a note on HAMaxMembers');
is(scalar(() = slurp('many.conf') =~ /BalancerMember/g), 10000, 'all of them are members');
ends_with_code(['modproxy', 'merge', '-balancer', '-o=many.conf', @all], 1,
    qr/10001 fragments are too many, at most 10000/, '10,001 are refused');

is(join(' ', leftovers('.')), '', 'no temporary file is left');
for my $signal (qw(INT TERM HUP)) {
    my $script = '$| = 1; my $dir = folder(); print $dir; mkdir "$dir/App"; chdir "$dir/App"; kill shift, $$; sleep 60';
    my ($code, $out, $err) = HA::Zero::run_program($^X, '-I', $lib, '-MHA::Zero', '-e', $script, $signal);
    ok($code == 130 && $out =~ m{^/} && !-e $out, "a test that SIG$signal interrupts leaves no folder")
        or diag("$code $out $err");
}
chdir $home;
done_testing();
