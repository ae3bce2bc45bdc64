# SPDX-License-Identifier: Apache-2.0
# zero modproxy check on a server's whole configuration: which mounts the lane carries.
use v5.36;

use Cwd qw(getcwd);
use File::Path qw(make_path);

use HA::Debian qw(fresh_tree);
use HA::Test;
use HA::Zero;

my $t = HA::Test->new;
my $httpd = HA::Test::build_var('HTTPD');
my $modules = HA::Test::build_var('HTTPD_LIBEXECDIR');
my @needed = qw(mpm_event slotmem_shm proxy proxy_http proxy_balancer lbmethod_byrequests);
our $app = <<~'END';
    BalancerMember "balancer://App" "http://hosta.example:8080" route=hostA
    BalancerMember "balancer://App" "http://hostb.example:8080" route=hostB
    HABalancer App
    HALane On App
    END
our $mount = qq(ProxyPass "/App" "balancer://App/App"\n);
my $home = getcwd();
my $dir = folder();
chdir $dir or die;

# What check says of the lane: its lines about paths, without the file's name.
sub lane($file, @options)
{
    my (undef, $out, undef) = zero(qw(modproxy check), @options, $file);
    return join '', map {s{^\Q$file\E: }{}r} grep {m{^\Q$file\E: (?:/|not judged)}} split /^/, $out;
}

# The same of these lines behind a Listen, a balancer and its mount; the first one is line 7.
sub lane_with($text, @options)
{
    return lane(spew('httpd.conf', "Listen 1\n$app$mount$text"), @options);
}

# LoadModule for these; haproxy is the one that was built.
sub load_lines(@names)
{
    my %path = (haproxy => HA::Test::module_path());
    return join '', map {sprintf qq(LoadModule %s_module "%s"\n), $_, $path{$_} // "$modules/mod_$_.so"} @names;
}

subtest 'a mount is the lane\'s, or a directive is named with file and line' => sub {
    is(lane_with(''), "/App: lane\n", 'nothing acts on it');
    spew('rewrite.conf', "\n" x 11 . "RewriteRule ^/(.*) /x/\$1\n");
    is(lane_with("Include rewrite.conf\n"),
        "/App: standard path, RewriteRule (rewrite.conf:12) acts on it\n", 'one that blocks, in an included file');
    is(lane_with("NoSuchDirective on\n"),
        "/App: standard path, NoSuchDirective (httpd.conf:7) acts on it: it is not known here and may act on "
        . "requests\n", 'one that nobody knows');
    is(lane_with("<Location /App/admin>\nRequire valid-user\n</Location>\n"),
        "/App: lane\n/App/admin: standard path, Require (httpd.conf:8) acts on it\n", 'a part has a line of its own');
};

subtest 'what HALane says is told, and what it could say' => sub {
    my $could = "standard path, the lane would carry it with HALane On\n";
    local $app = $app =~ s/^HALane.*\n/\n/mr;
    is(lane_with(''), "/App: $could", 'nothing is said');
    is(lane_with("HALane On\n"), "/App: lane\n", 'On, for all');
    is(lane_with("HALane Off App\n"), "/App: standard path, HALane (httpd.conf:7) is Off\n", 'Off');
    is(lane_with("SetEnv x y\n"), "/App: standard path, SetEnv (httpd.conf:7) acts on it\n", 'what would keep it away');
    my $own = qq(ProxyPass /own balancer://Own/own\nBalancerMember balancer://Own http://a\nHABalancer Own\n);
    is(lane_with("HALane On App\n$own"), "/App: lane\n/own: $could", 'one beside a merged one');
    is(lane_with("<VirtualHost *:1>\nServerName a\nHALane On App\n</VirtualHost>\n"),
        "/App in the main server: $could/App in a (httpd.conf:7): lane\n", 'in one virtual host');
};

# doc/lane-directives.md, what most often blocks: what stands there, and what may stand there instead.
subtest 'the page about directives is right on what most people meet' => sub {
    my $in = sub ($path, @lines) { join '', map {"$_\n"} "<Location $path>", @lines, '</Location>' };
    my @rows = (
        ['SSLEngine On', "<VirtualHost *:443>\nSSLEngine On\n</VirtualHost>"],
        ['RewriteRule ^/?(.*) https://x/$1', 'RewriteRule ^/old/(.*) https://x/$1', 'Redirect /old /x', 'RedirectMatch ^/$ /App/'],
        [$in->('/', 'Require ip 10'), $in->('/App/admin', 'Require ip 10'), $in->('/', 'Require all granted'),
            "<Directory />\nRequire all denied\n</Directory>"],
        ["<Proxy *>\nRequire ip 10\n</Proxy>"],
        ['SetEnvIf Request_URI x y', $in->('/x', 'SetEnvIf Request_URI x y'), "SetEnvIf Request_URI x y\nHALane On ignore=SetEnvIf",
            'SetEnvIf User-Agent x y'],
        ['SetEnv x y'], ['PassEnv x'],
        ['RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}', 'RequestHeader set X-Forwarded-Proto http'],
        ['Header edit Set-Cookie x y'], ['Header set X y env=z'], ['RequestHeader set X %{REMOTE_ADDR}e'], ['Header set X %t'],
        ['Substitute s/a/b/', $in->('/App/pages', 'Substitute s/a/b/')],
        ['SetOutputFilter DEFLATE', 'AddOutputFilterByType DEFLATE text/html'], ['AddOutputFilterByType SUBSTITUTE text/html'],
        ['ProxyErrorOverride On', $in->('/App/x', 'ProxyErrorOverride On')], ['ExpiresActive On', $in->('/App/x', 'ExpiresActive On')],
        ['RemoteIPHeader X', "RemoteIPHeader X\nHALane On ignore=RemoteIPHeader"],
        ['CustomLog a "%{X}o"', 'CustomLog a "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" env=!x'],
        ['CustomLog a "%{X}n"'], ['CustomLog a "%h" expr=true'],
        ['LoadModule evasive20_module x', "LoadModule evasive20_module x\nHALane On ignore=evasive20_module"],
    );
    for my $row (@rows) {
        my ($blocks, @instead) = @$row;
        like(lane_with("$blocks\n", '-httpd=/bin/true'), qr{^/App(?: in the main server)?: standard path, }m, $blocks);
        like(lane_with("$_\n", '-httpd=/bin/true'), qr{^/App(?: in the main server)?: lane$}m, "instead: $_") for @instead;
    }
    local $mount = '';
    like(lane_with($in->('/App', 'ProxyPass balancer://App/App')), qr{^/App: standard path, ProxyPass }, 'ProxyPass in <Location>');
    unlike(lane_with("ProxyPassMatch ^/App balancer://App/App\n"), qr{lane$}m, 'ProxyPassMatch');
};

subtest 'virtual hosts are named where they differ' => sub {
    is(lane_with("<VirtualHost *:1>\nServerName a\n</VirtualHost>\n"), "/App: lane\n", 'one line when all agree');
    is(lane_with("<VirtualHost *:1>\nServerName a\n</VirtualHost>\n<VirtualHost *:2>\nSetEnv x y\n</VirtualHost>\n"),
        "/App in the main server: lane\n/App in a (httpd.conf:7): lane\n"
        . "/App in *:2 (httpd.conf:10): standard path, SetEnv (httpd.conf:11) acts on it\n", 'else one each');
};

subtest 'a ProxyPass that gets no requests is told from the one that takes them' => sub {
    spew('App.conf', $mount);
    is(lane_with("ServerName x\nInclude App.conf\n"),
        "/App: lane\n/App: ProxyPass (App.conf:1) gets no requests, that of httpd.conf:6 takes them first\n",
        'behind another of its path');
    is(lane_with("<VirtualHost *:1>\nServerName a\nInclude App.conf\nInclude App.conf\n</VirtualHost>\n"),
        "/App: lane\n/App: ProxyPass (App.conf:1) gets no requests, that of httpd.conf:6 takes them first\n",
        "behind the main server's");
    local $mount = "Include App.conf\n";
    is(lane_with("Include App.conf\n"), "/App: lane\n/App: ProxyPass (App.conf:1) is read twice: include that file once\n",
        'in a file that is included twice');
};

subtest 'only a whole configuration is judged, and the exit code stays' => sub {
    my $whole = $app . $mount . "ProxyPassReverse /App balancer://App/App\n";
    my @check = (qw(modproxy check), '-module=' . HA::Test::module_path());
    local %ENV = (%ENV, %{HA::Httpd::runtime_env()}, ASAN_OPTIONS => 'detect_leaks=0');
    my (undef, $out) = zero(@check, spew('App.conf', $whole));
    is($out, "App.conf: ok\n", 'nothing is said of a part');
    my ($code, $said) = zero(@check, spew('all.conf', "Listen 1\n${whole}SetEnv x y\n"));
    is("$code $said", "0 all.conf: /App: standard path, SetEnv (all.conf:8) acts on it\nall.conf: ok\n",
        'a mount on the standard path is no error');
};

subtest 'a server that loads its modules is asked about as it is' => sub {
    my @check = qw(modproxy check);
    my $text = "ServerName localhost\nErrorLog $dir/error.log\nListen 1\n$app$mount" . "ProxyPassReverse /App balancer://App/App\n";
    local %ENV = (%ENV, %{HA::Httpd::runtime_env()}, ASAN_OPTIONS => 'detect_leaks=0');
    my ($code, $said) = zero(@check, spew('whole.conf', load_lines(@needed, 'haproxy') . $text));
    is("$code $said", "0 whole.conf: /App: lane\nwhole.conf: ok\n", 'nothing is loaded twice');
    ($code, $said) = zero(@check, spew('whole.conf', load_lines(@needed, 'haproxy') . $text =~ s/^Listen/HAListen/mr));
    is("$code $said", "0 whole.conf: /App: lane\nwhole.conf: ok\n", 'also when HAListen is all that it has');
    ($code, $said) = zero(@check, spew('whole.conf', load_lines(@needed) . $text));
    is($code, 1, 'a module that is not loaded is missed');
    like($said, qr/^httpd: .*Invalid command 'HABalancer'/m, 'which httpd says');
    my $nowhere = qr{^whole\.conf: not judged for the lane: the server does not start with this$}m;
    like($said, $nowhere, 'and what does not start is in no lane');
    unlike($said, qr{^whole\.conf: /App}m, 'nor on another path');
    (my $doubled = $text) =~ s/^HABalancer.*\n/$&BalancerMember balancer:\/\/a-b http:\/\/x\nBalancerMember balancer:\/\/a_b http:\/\/x\n/m;
    ($code, $said) = zero(@check, spew('whole.conf', load_lines(@needed, 'haproxy') . $doubled));
    like($said, $nowhere, 'also where httpd -t does not see it');
    unlike($said, qr/start script/, 'and nothing else is to be set');
    spew('envvars', "export HA_TEST_NAME=localhost\n");
    $text =~ s/localhost/\${HA_TEST_NAME}/;
    spew('whole.conf', load_lines(@needed, 'haproxy') . $text . "DocumentRoot \"\${HA_TEST_FOLDER}/www\"\n");
    ($code, $said) = zero(@check, 'whole.conf');
    like($said, qr{^whole\.conf: this server is started with variables of its own: set them first, as in \(\. \./envvars &&}m,
        'variables of a start script are hinted at');
};

subtest 'what an included file has is not missed' => sub {
    spew('App.conf', $app . $mount . "ProxyPassReverse /App balancer://App/App\n");
    my $findings = sub ($text) {
        my (undef, $said) = zero(qw(modproxy check), spew('own.conf', $text));
        join '', $said =~ /^own\.conf:(\d+: \w+: .*\n)/mg;
    };
    is($findings->("Include App.conf\nHABalancer App max=5\nHACheck app interval=2s\n"), '', 'keys beside the Include');
    is($findings->("Include App.conf\nProxyPass /x balancer://App/x\nProxyPassReverse /x balancer://App/x\n"), '',
        'a mount of its balancer');
    like($findings->("Include App.conf\nHABalancer Ap max=5\n"),
        qr{^2: warning: HABalancer names Ap, but there is no <Proxy "balancer://Ap"> in this file or what it includes: correct},
        'a wrong name is');
    my $two = "<VirtualHost a:1>\n${app}</VirtualHost>\n<VirtualHost b:1>\nHABalancer App max=5\n</VirtualHost>\n";
    like($findings->($two), qr{^8: error: HABalancer names App, but there is no }m, 'and so is one of another virtual host');
};

subtest 'files are found as httpd finds them' => sub {
    make_path('conf.d/deep');
    spew('conf.d/b.conf', "SetEnv b b\n");
    spew('conf.d/a.conf', "Options None\n");
    my $b = "/App: standard path, SetEnv (conf.d/b.conf:1) acts on it\n";
    is(lane_with("Include conf.d/*.conf\n"), $b, 'by a pattern');
    is(lane_with("Include conf.d\n"), $b, 'a whole folder');
    is(lane_with("Include conf.d/\n"), $b, 'with a slash');
    is(lane_with("Define X b\nIncludeOptional conf.d/\${X}.conf\n"), $b, 'by a variable');
    is(lane_with("ServerRoot $dir/conf.d\nInclude b.conf\n"),
        "/App: standard path, SetEnv ($dir/conf.d/b.conf:1) acts on it\n", 'relative to ServerRoot');
    is(lane_with("IncludeOptional none/*.conf\nIncludeOptional none.conf\n"), "/App: lane\n", 'or not at all');
    is(lane_with("<VirtualHost *:1>\nServerName a\nInclude conf.d/b.conf\n</VirtualHost>\n"),
        "/App in the main server: lane\n/App in a (httpd.conf:7): standard path, SetEnv (conf.d/b.conf:1) acts on it\n",
        'what is included in a section belongs to it');
    is(lane_with("Define P /App\n<Location \${P}/x>\nRequire valid-user\n</Location>\n"),
        "/App: lane\n/App/x: standard path, Require (httpd.conf:9) acts on it\n", 'variables count in sections too');
};

subtest 'what cannot be read is said' => sub {
    spew('loop.conf', "Include loop.conf\n");
    spew('open.conf', "<Location /x>\n");
    my $other = 'not judged for the lane: ';
    is(lane_with("Include loop.conf\n"), "${other}loop.conf: files include each other too often\n", 'an endless loop');
    is(lane_with("Include none.conf\n"), "${other}none.conf: cannot be read: No such file or directory\n",
        'a missing file');
    is(lane_with("Include open.conf\n"), "${other}open.conf:1: the section <Location> is not closed\n",
        'a broken file');
    is(lane_with("Include \${X}/a.conf\n"),
        "${other}httpd.conf:7: Include names a file by a variable that is not defined in these files\n", 'a variable');
    is(lane_with("HALane On ignore=Foo\n"),
        "${other}httpd.conf:7: HALane: ignore=Foo names no directive, correct the name\n", 'a waiver of nothing');
    my $bomb = join '', map {"Define A$_ \"\${A@{[$_ - 1]}}\${A@{[$_ - 1]}}\"\n"} 1 .. 60;
    like(lane_with("Define A0 xxxxxxxx\n${bomb}Options \${A60}\n", '-httpd=/bin/true'), qr{^/App: lane$},
        'variables that grow without end');
};

# --- Debian ---------------------------------------------------------------------------------------

subtest 'a fresh apache2 of the distribution leaves App to the lane' => sub {
    my $etc = fresh_tree() or plan skip_all => 'the package apache2 is not here';
    for my $name (qw(hostA hostB)) {
        zero(qw(modproxy generate -app=App -context=/App -port=8080 -sticky=zsessionid), "-o=$name.conf",
            "-route=$name", '-host=' . lc "$name.example");
    }
    $etc = "$dir/$etc";
    my ($code) = zero(qw(modproxy merge -balancer), "-o=$etc/conf-enabled/App.conf", 'hostA.conf', 'hostB.conf');
    is($code, 0, 'App.conf is merged');
    local %ENV = (%ENV, %{HA::Httpd::runtime_env()}, ASAN_OPTIONS => 'detect_leaks=0', APACHE_RUN_USER => 'www-data',
        APACHE_RUN_GROUP => 'www-data', map {("APACHE_${_}_DIR" => $dir)} qw(RUN LOG LOCK));
    local $ENV{APACHE_PID_FILE} = "$dir/pid";
    spew("$etc/mods-enabled/haproxy.load", load_lines(@needed[1 .. $#needed], 'haproxy'));
    spew("$etc/apache2.conf", "ServerRoot $etc\nServerName localhost\n" . slurp("$etc/apache2.conf"));
    is(lane("$etc/apache2.conf"), "/App: lane\n", 'in the main server and in its default site');
    spew("$etc/sites-enabled/001-admin.conf", "<VirtualHost *:80>\nServerName admin\n<Location /App>\nRequire ip 10\n"
        . "</Location>\n</VirtualHost>\n");
    like(lane("$etc/apache2.conf"), qr{^/App in admin \(sites-enabled/001-admin\.conf:1\): standard path, Require }m,
        'and a site that asks who may keeps it on the standard path');
};

# --- httpd's own list -----------------------------------------------------------------------------

subtest 'the table knows the directives of this httpd' => sub {
    my %known = map {lc $_ => 1} slurp(HA::Test::top_srcdir() . '/doc/lane-directives.md') =~ /^\| `<?([^>`]+)>?`/mg;
    my @files = grep {!m{/mod_(?:mpm_worker|mpm_prefork|case_filter|case_filter_in|bucketeer)\.so$}}
        glob "$modules/mod_*.so";
    my @load = map {m{mod_(\w+)\.so$} ? "LoadModule ${1}_module $_\n" : ()} @files;
    spew('list.conf', join '', "ServerName x\nErrorLog $dir/log\nDefaultRuntimeDir $dir\nPidFile $dir/pid\n", @load);
    my @all = qx($httpd -f $dir/list.conf -L 2>$dir/list.err) =~ /^<?([A-Za-z]\S*) \([a-z0-9_]+\.c\)$/mg;
    plan skip_all => 'this httpd does not list its directives' if @all < 100;
    my @unknown = grep {!$known{lc $_}} @all;
    note("a newer httpd has @unknown, which block") if @unknown;
    cmp_ok(scalar @unknown, '<', 20, 'all but what is new in it');
};

chdir $home;
$t->done;
