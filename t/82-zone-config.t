# SPDX-License-Identifier: Apache-2.0
# What HAZone accepts, and how a server that is given something else says so; and that what merge
# writes of zones is taken by httpd, with the module and without.
use v5.36;

use HA::Test;
use HA::Zero;

my $t = HA::Test->new;
my $httpd = $t->httpd(modules => [qw(proxy proxy_http)], haproxy => 1, start => 0, config => '');

# A file of this mode; its path.
sub secret($name, $text, $mode = 0640)
{
    my $path = $t->write_file($name, $text);
    chmod $mode, $path or die "$path: $!\n";
    return $path;
}

my $line = '5a' x 32;
my $key = secret('good.key', "$line\n");
my $token = secret('good.token', "0123456789abcdef\n");
my @members = map {qq(BalancerMember "http://127.0.0.1:2000$_" route=host$_)} 1, 2;

sub balancer($name, @more)
{
    return join "\n", qq(<Proxy "balancer://$name">), @members, @more, '</Proxy>', '';
}

my $sticky = 'ProxySet stickysession=zsessionid';
my $good = balancer('App', $sticky) . "HABalancer App\n";

# FILE:LINE of the line with this text, in the configuration or another file.
sub place($text, $path = $httpd->conf)
{
    my @lines = split /\n/, slurp($path);
    my ($at) = grep {$lines[$_ - 1] eq $text} 1 .. @lines;
    return "$path:" . ($at // 0);
}

# Refused by -t in one sentence that matches, with file and line of the directive; no word of a
# secret is in it. `at` in the options is the text of that line, `file` the file that it is in.
sub refused($directive, $sentence, $name, %opt)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $httpd->write_config(($opt{before} // $good) . "$directive\n" . ($opt{after} // ''));
    for my $ask ($opt{start} ? qw(check refusal) : 'check') {
        my ($fine, $said) = $httpd->$ask;
        my $conf = quotemeta $httpd->conf;
        my $n = () = $said =~ /$sentence/g;
        my $at = $opt{at} ? quotemeta place($opt{at}, $opt{file} // $httpd->conf) : "$conf:\\d+";
        my $placed = $said =~ /\($at\): |on line \d+ of $conf:|is given at /;
        ok(!$fine && $n == 1 && $placed && $said !~ /5a5a|5g5g|hunter2/, "$ask: $name") or diag $said;
    }
    return;
}

sub accepted($directive, $name, %opt)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $httpd->write_config(($opt{before} // $good) . "$directive\n" . ($opt{after} // ''));
    my ($fine, $said) = $httpd->check;
    ok($fine && $said =~ /^Syntax OK$/m, $name) or diag $said;
    return;
}

my $memcached = "store=memcached:hosta.example:11211,hostb.example key=$key";

subtest 'stores and zones are those that there are' => sub {
    accepted("HAZone App $_", $_) for '', 'zone=USER', 'zone=storage,user', 'store=shm', 'store=shm:1M',
        'store=shm:64g', $memcached, "store=memcached:[2001:db8::1]:11211,192.0.2.1 key=$key";
    refused('HAZone App zone=USERS', qr/HAZone App \(.*\): a zone is USER, STORAGE or USER,STORAGE$/m,
        'another zone', start => 1);
    refused("HAZone App zone=$_", qr/a zone is USER, STORAGE or USER,STORAGE$/m, "zone=$_")
        for ',', 'USER,', 'USER,USER', 'USER;STORAGE';
    refused('HAZone App store=redis:h', qr/HAZone App \(.*\): "redis:h" is no store: write shm, /, 'another store');
    refused("HAZone App store=$_", qr/is no size of shm: 1M to 64G/, "store=$_") for 'shm:', 'shm:1K', 'shm:65G', 'shm:x';
    refused("HAZone App store=memcached:$_ key=$key", qr/is no memcached: write host, host:port, or /, "memcached:$_")
        for '', ',h', 'h,', 'h:0', 'h:65536', 'h:x', '[::1', 'a/b', '2001:db8::1';
    refused("HAZone App store=memcached:h,H:11211 key=$key", qr/the memcached h:11211 is there twice/, 'a node twice');
    refused('HAZone App store=memcached:' . join(',', map {"h$_"} 1 .. 17) . " key=$key",
        qr/there are more than 16 memcached/, '17 nodes');
};

subtest 'the state of a session needs a session of the application' => sub {
    my $add = qr/name the application's session cookie with ProxySet stickysession=NAME/;
    my $bare = balancer('App');
    refused('HAZone App', qr/HAZone App \(.*\): there is no session whose state could be kept: $add in <Proxy "balancer:\/\/App">$/m,
        'no stickysession', before => "${bare}HABalancer App\n", start => 1);
    refused('HAZone App', qr/HAZone App \(.*\): with affinity=none there is no session .*: take it out of HABalancer App \(\S+:\d+\), and $add$/m,
        'affinity=none', before => balancer('App', $sticky) . "HABalancer App affinity=none\n");
    refused('HAZone App', qr/HAZone App \(.*\): the id .* with affinity=insert the proxy knows none: take it out .* stickysession=NAME$/m,
        'affinity=insert', before => "${bare}HABalancer App affinity=insert\n");
    accepted('HAZone App zone=STORAGE', "STORAGE belongs to no session: $_", before => "${bare}HABalancer App $_\n")
        for '', 'affinity=none', 'affinity=insert';
};

subtest 'a key file is read at the start, or the start is refused' => sub {
    refused('HAZone App store=memcached:h', qr/store=memcached needs key=, because .*: \(umask 077; openssl rand -hex 32 >zone\.key\), /,
        'memcached without key=', start => 1);
    accepted("HAZone App key=$key", 'a key for shared memory, too');
    secret($httpd->root . '/conf/zone.key', "$line\n", 0600);
    accepted('HAZone App store=memcached:h key=conf/zone.key', 'relative to ServerRoot');
    my $zone = 'HAZone App store=memcached:h key=';
    my %bad = (
        'short.key' => ['5a' x 31, qr/key=\S+short\.key:1: /],
        'blank.key' => ["# nothing\n\n", qr/key=\S+blank\.key: there is no key/],
        'nohex.key' => ["# mine\n" . ('5g' x 32), qr/key=\S+nohex\.key:2: /],
        'twice.key' => ["names $line\n$line\n$line\n", qr/key=\S+twice\.key:3: /],
        'nameless.key' => ["$line\n" . ('5b' x 32) . "\n", qr/key=\S+nameless\.key: /],
        'long.key' => ['# ' . 'x' x 5000, qr/key=\S+long\.key is longer than a key file can be/],
    );
    for my $name (sort keys %bad) {
        my $path = secret($name, $bad{$name}[0]);
        refused("$zone$path", qr/HAZone App \(.*\): $bad{$name}[1]/, $name, start => $name eq 'short.key');
    }
    refused($zone . $t->dir('none.key'), qr/key=\S+none\.key cannot be read: No such file/, 'a file that is not there');
    mkdir $t->dir('folder.key'), 0700;
    refused($zone . $t->dir('folder.key'), qr/key=\S+folder\.key cannot be read: /, 'a folder');
    system('mkfifo', '-m', '600', $t->dir('pipe.key')) == 0 or die "mkfifo\n";
    refused($zone . $t->dir('pipe.key'), qr/key=\S+pipe\.key cannot be read: it is not a regular file/, 'a pipe');
    refused($zone . 'x' x 5000, qr/^key=x+ is not a usable path$/m, 'a name of 5000 bytes');
    refused($zone . secret('open.key', "$line\n", $_), qr/key=\S+ may be read by others, run chmod 640 on it/,
        sprintf('mode %o', $_), start => $_ == 0644) for 0644, 0641, 0642;
};

subtest 'so is a token file, and a token is one application\'s' => sub {
    accepted("HAZone App token=$token", 'a good one');
    my $what = qr/:1: a token is a line of 16 to 256 printable characters without blanks, this one has/;
    my %bad = (
        short => ['hunter2', $what], long => ['hunter2' x 40, $what], blank => ['hunter2 hunter2 hunter2', $what],
        empty => ['', $what], two => ["hunter2hunter2hunter2\nhunter2\n", qr/:2: a token file has one line/],
    );
    for my $name (sort keys %bad) {
        my $path = secret("$name.token", $bad{$name}[0]);
        refused("HAZone App token=$path", qr/HAZone App \(.*\): token=\S+$name\.token$bad{$name}[1]/, $name,
            start => $name eq 'short');
    }
    refused('HAZone App token=' . $t->dir('none.token'), qr/token=\S+ cannot be read: No such file/, 'none there');
    refused('HAZone App token=' . secret('open.token', "0123456789abcdef\n", 0644),
        qr/token=\S+ may be read by others, run chmod 640 on it/, 'open to all');
    my $shop = balancer('Shop', $sticky) . "HABalancer Shop\nHAZone Shop token=$token\n";
    refused('HAZone App token=' . secret('same.token', '0123456789abcdef'),
        qr/HAZone \w+ \(.*\): token=\S+ has the token of \w+, and a token says whose zones are meant: make another one/,
        'the token of another', before => $good . $shop);
    accepted('HAZone App token=' . secret('other.token', '0123456789abcdeg'), 'one of its own', before => $good . $shop);
};

subtest 'HAZone finds its balancer' => sub {
    refused('HAZone Ap', qr/HAZone Ap \(.*\): no HABalancer names this balancer: correct the name, or add HABalancer Ap$/m, 'another name',
        start => 1);
    refused('HAZone App', qr/HAZone App \(.*\): no HABalancer names this balancer: .*, or add HABalancer App$/m, 'no HABalancer',
        before => balancer('App', $sticky));
    refused("HACheck App uri=/up\nHAZone App", qr/HACheck App \(.*\): no HABalancer names this balancer: .*, or add HABalancer App$/m,
        'nor for HACheck', before => balancer('App', $sticky));
    refused('', qr/HABalancer App \(.*\): there is no balancer of this name, define it with <Proxy "balancer:\/\/App">$/m,
        'HABalancer does not, without members', before => "HABalancer App\n");
    refused('HAZone App', qr/HAZone not allowed (?:here|in)/, 'in a Location', before => "$good<Location /x>\n",
        after => "</Location>\n");
};

subtest 'the handler of zones is told where its Require has to stand' => sub {
    my $zones = sub ($text) { return qq(<Location "/zones">\nSetHandler ha-zones\n$text</Location>\n) };
    my $beside = qq($good<Location "/">\nRequire all granted\n</Location>\n);
    refused($zones->(''), qr/SetHandler ha-zones \(.*\): no Require .*: put one into its own section or one around it, such as /,
        'not beside its section', before => $beside, at => 'SetHandler ha-zones');
    accepted($zones->("Require all granted\n"), 'in its section', before => $beside);
};

subtest 'its lines are joined, and inherited key by key' => sub {
    my $merged = $t->write_file('App.conf', "${good}HAZone App store=memcached:h\n");
    my $include = qq(Include "$merged"\n);
    my $host = sub ($text) { return "<VirtualHost *>\n$text</VirtualHost>\n" };
    my $missing = qr/store=memcached needs key=/;
    refused('HAZone App budget=60ms', $missing, 'a key too few', before => $include,
        at => 'HAZone App store=memcached:h', file => $merged);
    accepted("HAZone app key=$key budget=50ms", 'a line beside a merged file', before => $include);
    accepted($include, 'before it, too', before => "HAZone app key=$key\n");
    my $conf = quotemeta $httpd->conf;
    refused("HAZone app store=shm", qr/^HAZone app: store= is given at \Q$merged\E:\d+ and at $conf:\d+, keep one$/m,
        'a key twice', before => $include, start => 1);
    accepted($host->("${good}HAZone App store=memcached:h\n"), 'a virtual host has its key from the main server',
        before => "HAZone App key=$key\n");
    refused($host->("${good}HAZone App store=memcached:h\n"), $missing, 'or not', before => "HAZone App budget=60ms\n");
    accepted($host->("${good}HAZone App store=memcached:h\nHAZone App key=none\n") =~ s/memcached:h/shm/r,
        'and takes it back with none', before => "HAZone App key=$key\n");
    refused('HAZone App zone=STORAGE', qr/HAZone App \(.*\): this balancer is inherited from the main server, so give it its zones there/,
        'not in a virtual host for a balancer of the main server', before => "$good<VirtualHost *>\n",
        after => "</VirtualHost>\n");
    accepted($host->(qq(ProxyPass "/App" "balancer://App/App"\n)), 'which has its zones there, too',
        before => "${good}HAZone App\n");
};

subtest 'what is wrong with a key is said with the line that gives it' => sub {
    my $nothere = $t->dir('none.key');
    my %tuned = (HABalancer => 'retries=1', HACheck => 'interval=2s', HAZone => 'recheck=2s');
    my @bad = (
        ['HAZone App zone=USR', qr/a zone is USER, STORAGE or USER,STORAGE$/m],
        ['HAZone App store=redis:h', qr/"redis:h" is no store/],
        ['HAZone App store=memcached:h', qr/store=memcached needs key=/],
        ["HAZone App key=$nothere", qr/key=\Q$nothere\E cannot be read/],
        ["HAZone App token=$nothere", qr/token=\Q$nothere\E cannot be read/],
        ['HACheck App expect=20', qr/expect=20: "20" is no status/],
        ['HACheck App uri=up', qr/uri=up /],
        ['HABalancer App queue=5', qr/queue= waits for members/],
        ["HABalancer App sign=$key", qr/sign= signs the proxy's own cookie/],
        ["HABalancer App sign=$nothere affinity=insert", qr/sign=\Q$nothere\E cannot be read/, balancer('App')],
    );
    for my $bad (@bad) {
        my ($line, $sentence, $members) = @$bad;
        my ($directive) = split ' ', $line;
        my $part = $t->write_file('part.conf', ($members // balancer('App', $sticky)) . "HABalancer App\n$line\n");
        my $more = "$directive App $tuned{$directive}";
        refused(qq(Include "$part"\n$more), qr/^(?:.* )?$directive App \(.*\): $sentence/m, "$line, and $more in another file",
            before => '', at => $line, file => $part);
    }
    my $none = "HABalancer App affinity=none\nHABalancer App retries=1\n";
    $httpd->write_config(balancer('App', $sticky) . $none . "HAZone App zone=USER\nHAZone App recheck=2s\n");
    my (undef, $said) = $httpd->check;
    my ($zone, $affinity) = map {quotemeta place($_)} 'HAZone App zone=USER', 'HABalancer App affinity=none';
    like($said, qr/HAZone App \($zone\): with affinity=none .* take it out of HABalancer App \($affinity\), and/, 'both places of two');
    my $fcgi = balancer('App', $sticky) =~ s/http:(?=.*0001)/fcgi:/r;
    refused("HABalancer App\nHACheck App uri=/up\nHACheck App interval=2s", qr/HACheck App .* cannot be asked for the uri= of HACheck/,
        'uri= for a member that speaks no HTTP', before => $fcgi, at => 'HACheck App uri=/up');
    refused("${good}HAZone App recheck=2s", qr/HAZone App \(.*\): a zone is /, 'a key that a virtual host inherits',
        before => "HAZone App zone=USR\n<VirtualHost *>\n", after => "</VirtualHost>\n", at => 'HAZone App zone=USR');
};

my @hosts = map {$t->app($_)} qw(hostA hostB);
for my $host (@hosts) {
    my ($code, undef, $err) = zero(qw(modproxy generate -app=App -context=/App -host=127.0.0.1 -sticky=zsessionid),
        '-port=' . $host->port, '-route=' . $host->name, '-health=/App/health', '-o=' . $t->dir($host->name . '.conf'));
    is($code, 0, 'a fragment') or diag $err;
}

sub merged(@options)
{
    my $file = $t->dir('zoned.conf');
    my ($code, undef, $err) = zero(qw(modproxy merge -balancer -force), @options, "-o=$file", map {$t->dir("$_.conf")} qw(hostA hostB));
    is($code, 0, "merge @options") or diag $err;
    return $file;
}

subtest 'what merge writes of zones loads with the module, and without' => sub {
    my @store = qw(-zones=USER,STORAGE -store=memcached:hostA:11211,hostB:11211);
    my $file = merged(@store);
    my $text = slurp($file);
    is(slurp(merged(reverse @store)), $text, 'once more, it is the same bytes');
    like($text, qr/^    HAZone     App zone=USER,STORAGE store=memcached:hosta:11211,hostb:11211 key=zone\.key$/m, 'the line');
    secret($httpd->root . '/zone.key', "$line\n", 0600);
    accepted(qq(Include "$file"), 'with the module', before => '');
    my $stock = $t->httpd(modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests)], start => 0,
        config => qq(Include "$file"\n));
    my ($fine, $said) = $stock->check;
    ok($fine && $said =~ /^Syntax OK$/m, 'without it, a stock httpd passes it over') or diag $said;
    my $module = HA::Test::module_path();
    local %ENV = (%ENV, %{HA::Httpd::runtime_env()}, ASAN_OPTIONS => 'detect_leaks=0');
    my @check = (qw(modproxy check), "-module=$module", merged(@store, '-key=' . $t->dir('good.key')));
    my ($code, $out, $err) = zero(@check);
    is("$code $out$err", "0 $file: ok\n", 'zero modproxy check finds nothing in it');
    ($code, $out) = zero(qw(modproxy check), "-module=$module", merged(@store, '-key=' . $t->dir('none.key')));
    ok($code == 1 && $out =~ /^httpd: .*none\.key cannot be read: No such file/m, 'but a key file that is not there') or diag $out;
};

subtest 'a zone keeps nothing from the lane' => sub {
    my $file = merged('-zones=USER');
    $httpd->write_config(qq(Include "$file"\nHAZoneSessions 2048\nHAZone App budget=50ms\n));
    $httpd->start;
    ok($t->wait_for(qr/App: \/App: in the lane$/), 'the log says so');
    is($t->client(port => $httpd->port)->get('/App/plain')->status, 200, 'and it answers');
    $httpd->stop;
};

$t->done;
