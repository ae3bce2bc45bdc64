#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Tests that the installed httpd takes what zero writes, and that zero modproxy check finds what
# httpd would not.
use strict;
use warnings;
use lib ($ENV{top_srcdir} // '.') . '/t/lib';
use Cwd qw(getcwd);
use HA::Zero;
use Test::More;

my $home = getcwd();
my $dir = folder();
chmod 0755, $dir;
chdir $dir or die;
$ENV{TMPDIR} = "$dir/tmp";
mkdir $ENV{TMPDIR};
chmod 01777, $ENV{TMPDIR};

# What check said and how it ended.
sub check {
    my ($text, @options) = @_;
    spew('x.conf', $text);
    my ($code, $out, $err) = zero(qw(modproxy check), @options, 'x.conf');
    return "$code\n$out$err";
}

my ($probe) = zero(qw(modproxy check), spew('probe.conf', "# nothing\n"));
plan skip_all => 'there is no httpd to ask' if $probe == 3;

# --- good files ------------------------------------------------------------------------------
spew('a.conf', fragment(health => '/App/health'));
spew('b.conf', fragment(host => 'hostb.example', route => 'hostB', health => '/App/health'));
spew('shop.conf', fragment(app => 'my_shop.v2', context => '/App/shop', sticky => ''));
spew('root.conf', fragment(app => 'root', context => '/', host => '[2001:db8::1]', sticky => ''));
zero(qw(modproxy merge -balancer -o=App.conf a.conf b.conf));
zero(qw(modproxy merge -balancer -o=all.conf a.conf b.conf shop.conf root.conf));
zero(qw(modproxy merge -o=plain.conf a.conf shop.conf root.conf));
spew('odd.conf', ends_with_code([qw(modproxy generate -app=odd -host=h.example),
    '-context=/a!&()*+,=:@~_.-b', '-sticky=a!&*+-.^_~', '-health=/a!&()*+,=:@~_.-b'], 0, qr/^$/,
    'a fragment with every odd byte'));
zero(qw(modproxy merge -balancer -o=oddbal.conf odd.conf));
my $stock = '';
for my $file (qw(a.conf App.conf all.conf plain.conf odd.conf oddbal.conf)) {
    my ($code, $out, $err) = zero(qw(modproxy check), $file);
    is("$code $out$err", "0 $file: ok\n", "Z2: httpd -t accepts Include $file, and lint too");
}
my ($code, $out, $err) = as_user($dir, qw(modproxy check App.conf));
is("$code $out$err", "0 App.conf: ok\n", 'check works as an ordinary user');
like(check("LoadModule nothere_module /x.so\n"), qr/^1\n.*httpd: .*line 1 of .*x\.conf/s,
    "httpd's own message comes with file and line");
like(check("NoSuchDirective on\n"), qr/^1\n.*NoSuchDirective/s, 'an unknown directive is refused');
like(check("ProxyPass /x http://a.invalid/x\nNoSuchDirective on\n"),
    qr/^1\nx\.conf:1: warning: .*\nhttpd: .*line 2 of \S+x\.conf:\nhttpd: Invalid command 'NoSuchDirective'/,
    'check lints, then asks the installed httpd');
my $path = 'with space.conf';
spew($path, slurp('App.conf'));
($code, $out, $err) = zero(qw(modproxy check), $path);
is($code, 0, 'a file with a blank in its name is tested');
for my $name ('a"b.conf', 'a*b.conf', '${PATH}.conf', "a\nb.conf") {
    spew($name, slurp('App.conf'));
    ($code, $out, $err) = zero(qw(modproxy check), $name);
    ok($code == 1 && $err =~ /cannot include a file with such a name/, 'a name that Include would read otherwise')
        or diag("$code $err");
}

# --- every lint ------------------------------------------------------------------------------
my $bal = "<Proxy balancer://app>\nBalancerMember http://a.invalid:1 route=a\n"
    . "BalancerMember http://b.invalid:1 route=b\n</Proxy>\n";
my $mount = "ProxyPass /x balancer://app/x\nProxyPassReverse /x balancer://app/x\n";
my $long = 'a' x 64;
my @lints = (
    ['slash', 1, "ProxyPass /x/ http://a.invalid/x\nProxyPassReverse /x/ http://a.invalid/x\n",
        qr/x\.conf:1: error: a request for \/x\/x goes to http:\/\/a\.invalid\/xx/],
    ['slash', 0, "ProxyPass /x http://a.invalid/x/\nProxyPassReverse /x http://a.invalid/x/\n",
        qr/x\.conf:1: warning: .*two slashes/],
    ['route', 1, "$bal$mount" . "BalancerMember balancer://app http://c.invalid:1 route=a\n",
        qr/x\.conf:7: error: balancer:\/\/app has the route "a" already in line 2/],
    ['route', 1, "$bal$mount" . "BalancerMember balancer://app http://c.invalid:1 route=$long\n",
        qr/x\.conf:7: error: the route ".*" has 64 bytes, httpd takes at most 63/],
    ['route', 0, "$bal$mount" . "BalancerMember balancer://app http://c.invalid:1\n",
        qr/x\.conf:7: warning: .*has no route/],
    ['sticky', 1, "$bal$mount" . "ProxySet balancer://app stickysession=$long\n",
        qr/x\.conf:7: error: the cookie's name .* more than 63 bytes/],
    ['long-url', 0, "$bal$mount" . "BalancerMember balancer://app http://$long.invalid/$long route=c\n",
        qr/x\.conf:7: warning: the URL .* has \d+ bytes/],
    ['case', 1, "<Proxy balancer://App>\nRequire ip 10.0.0.0/8\nBalancerMember http://a.invalid:1\n</Proxy>\n$mount",
        qr/x\.conf:5: error: .*httpd then skips the Require of line 2/],
    ['case', 0, "$bal" . "ProxyPass /x balancer://APP/x\nProxyPassReverse /x balancer://APP/x\n",
        qr/x\.conf:5: warning: balancer:\/\/APP is defined as balancer:\/\/app in line 1/],
    ['undefined', 1, $mount, qr/x\.conf:1: error: balancer:\/\/app has no member/],
    ['reverse', 0, "$bal" . "ProxyPass /x balancer://app/x\n",
        qr/x\.conf:5: warning: \/x has no ProxyPassReverse/],
    ['shadowed', 1, "$bal$mount" . "ProxyPass /x/y !\n", qr/x\.conf:7: error: no request reaches \/x\/y: line 5/],
    ['max', 0, "MaxRequestWorkers 400\n$bal$mount" . "BalancerMember balancer://app http://c.invalid:1 route=c max=20\n",
        qr/x\.conf:8: warning: max=20 holds per child: .*16 children, so up to 320 connections/],
    ['unknown', 1, "$bal$mount" . "<IfModule haproxy_module>\nHABalancer ap\n</IfModule>\n",
        qr/x\.conf:8: error: HABalancer names ap, but there is no/],
    ['loopback', 0, "$bal$mount" . "BalancerMember balancer://app http://127.0.0.1:1 route=c\n",
        qr/x\.conf:7: warning: the member .* is this proxy's own machine/],
    ['names', 1, "BalancerMember balancer://a-b http://a.invalid:1\nBalancerMember balancer://a_b http://b.invalid:1\n",
        qr/x\.conf:2: error: balancer:\/\/a_b and balancer:\/\/a-b of line 1 differ only in punctuation/],
);
for my $lint (@lints) {
    my ($rule, $code, $text, $says) = @$lint;
    my $said = check($text);
    ok($said =~ /^$code\n/ && $said =~ $says && $said =~ /\[$rule\]/,
        "check finds $rule and ends with $code") or diag($said);
}

# --- bad input -------------------------------------------------------------------------------
my %bad = (
    'an empty file' => ['', qr/^1\n.*x\.conf: is empty/],
    'a NUL byte' => ["Listen 1\nA\0B\n", qr/^1\n.*x\.conf:2: has a NUL byte/s],
    'an open section' => ["\n<Proxy x>\n", qr/^1\n.*x\.conf:2: the section <Proxy> is not closed/s],
    'a 1 MB line' => ['ProxyPass ' . '/x' x (1 << 19) . "\n", qr/^1\nhttpd: .*line 1 of \S+x\.conf:\nhttpd: ProxyPass/],
    'a control byte' => ["Listen 1\nA\x1b[2J\x01\n",
        qr/^1\nhttpd: .*line 2 of \S+x\.conf:\nhttpd: Invalid command 'A\\x1b\[2J\\x01'[ -~\n]*$/],
    'invalid UTF-8' => ["\xff\xfe\n", qr/^1\nhttpd: .*line 1 of \S+x\.conf:\nhttpd: Invalid command '[ -~\n]*$/],
    'a terminal escape in a value' => ["ProxyPass /\x1b[2J/ http://a.invalid\n",
        qr/^1\n[ -~\n]*x\.conf:1: error: a request for \/\\x1b\[2J\/x[ -~]*\[slash\]\n$/],
);
for my $what (sort keys %bad) {
    like(check($bad{$what}[0]), $bad{$what}[1], "$what is refused with a sentence");
}
my $crlf = "ProxyPass /x http://a.invalid/x\r\nProxyPassReverse /x http://a.invalid/x\r\n";
is(check($crlf), "0\nx.conf: ok\n", 'CR LF is taken, as httpd takes it');
is(check('# ' . 'x' x 1_000_000 . "\n$crlf"), "0\nx.conf: ok\n", 'so is a comment of 1 MB');
like(join(' ', zero(qw(modproxy check nothere.conf))), qr/^3 .*nothere\.conf: cannot be read/, 'a missing file');
like(join(' ', zero(qw(modproxy check .))), qr/^3 .*is a folder, not a file/, 'a folder');
like(check($bal, '-httpd=/nowhere/httpd'), qr/^3\n.*there is no httpd at \/nowhere\/httpd: install apache2/s,
    'a missing httpd is named');
opendir my $tmp, $ENV{TMPDIR} or die;
is(join(' ', grep { !/^\.\.?$/ } readdir $tmp), '', 'nothing is left in the temporary folder');
chdir $home;
done_testing();
