# SPDX-License-Identifier: Apache-2.0
# What is installed, and the samples in conf/: each is loaded by a real apache2.
use v5.36;

use HA::Test;

my $t = HA::Test->new;
my $source = HA::Test::top_srcdir();
my $build = HA::Test::top_builddir();
my $modules = HA::Test::build_var('HTTPD_LIBEXECDIR');
my @proxy_modules = qw(proxy proxy_http slotmem_shm proxy_balancer lbmethod_byrequests);

# The make that runs the tests passes nothing on to those that a test runs.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES)};

sub text($path)
{
    return HA::Log->new($path)->text;
}

sub install($root)
{
    my $said = qx(make -C '$build' install DESTDIR='$root' 2>&1);
    is($?, 0, 'make install succeeds') or diag($said);
    return;
}

# What a variable of the Makefile is in the end.
sub make_value($name)
{
    chomp(my $value = qx(make -s --no-print-directory -C '$build' --eval='it:;\@echo "\$($name)"' it));
    return $value;
}

# The mode of a file, as in "755"; empty when there is none.
sub mode($path)
{
    my @stat = stat $path or return '';
    return sprintf '%o', $stat[2] & 07777;
}

# Statuses of the health pages: of the proxy, and of an application.
sub health($httpd, $app)
{
    my $client = $t->client(port => $httpd->port);
    return join ' ', map {$client->get($_)->status} '/ha-health', "/ha-health/$app";
}

my $installed = $t->dir('installed');
my %path = map {$_ => $installed . make_value($_)} qw(moduledir bindir sbindir mandir modsdir pkgdatadir statedir unitdir);
my $zerod = -x "$build/zerod";

subtest 'make install puts everything where packages expect it' => sub {
    install($installed);
    is(mode("$path{bindir}/zero"), '755', 'the command line');
    isnt(mode("$path{moduledir}/mod_haproxy.so"), '', 'the module');
    is(mode("$path{mandir}/man1/zero.1"), '644', 'the manual page');
    is(mode("$path{modsdir}/haproxy.$_"), '644', "haproxy.$_") for qw(load conf);
    is(mode($path{statedir}), '700', 'the folder of the state file, for root alone');
    if ($zerod) {
        is(mode("$path{sbindir}/zerod"), '755', 'the daemon');
        is(mode("$path{mandir}/man8/zerod.8"), '644', 'its manual page');
        is(mode("$path{unitdir}/zerod\@.service"), '644', 'its unit');
        is(mode("$path{pkgdatadir}/restartHalIfDead.sh"), '755', 'and what starts it when it is dead');
    }
    my ($count) = qx(find '$installed' -type f | wc -l) =~ /(\d+)/;
    my $la = -e "$path{moduledir}/mod_haproxy.la" ? 1 : 0;
    is($count - $la, $zerod ? 9 : 5, 'and nothing else');
    like($path{modsdir}, qr{/etc/apache2/mods-available$}, 'where a2enmod finds them');
};

subtest 'the unit starts the daemon that was installed, and leaves its service alone' => sub {
    plan skip_all => 'zerod is not built: libraft or libuv is missing' if !$zerod;
    my $unit = text("$path{unitdir}/zerod\@.service");
    my ($program, $etc) = map {make_value($_)} qw(sbindir sysconfdir);
    like($unit, qr{^ExecStart=\Q$program\E/zerod -d -c \Q$etc\E/zerod/config\.json -i %i$}m, 'by its path');
    unlike($unit, qr/@\w+@/, 'every place is filled in');
    like($unit, qr/^$_$/m, $_) for qw(Type=notify KillMode=process OOMPolicy=continue Restart=always NotifyAccess=main);
    like($unit, qr/^$_$/m, "a daemon that hangs is started anew: $_") for qw(WatchdogSec=30 TimeoutStopSec=30 RestartSec=1 RestartPreventExitStatus=2 StartLimitIntervalSec=0);
    like($unit, qr/^$_$/m, "hardening: $_") for 'StateDirectoryMode=0700', 'CapabilityBoundingSet=~CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_SYS_PACCT CAP_SYS_TIME CAP_WAKE_ALARM';
    my ($hinders) = $unit =~ /^((?:Protect|Private|ReadOnly|Inaccessible|NoNewPrivileges|SystemCallFilter|RestrictNamespaces|User|DynamicUser)\w*=.*)$/m;
    is($hinders, undef, 'and none that would hinder a script');
    my ($systemd) = grep {-x} map {"$_/systemd-analyze"} split /:/, $ENV{PATH};
    SKIP: {
        skip 'there is no systemd-analyze', 1 if !$systemd;
        my $checked = $t->write_file('zerod@.service', $unit =~ s{^ExecStart=\S+}{ExecStart=/bin/true}mr);
        my $said = qx('$systemd' verify --man=no '$checked' 2>&1);
        is($said =~ s/^(?!.*zerod@).*\n//gmr, '', 'systemd finds nothing wrong with it');
    }
};

subtest 'what the documents tell to type puts the state where they say it is' => sub {
    my ($options) = text("$source/doc/install.md") =~ m{^ +\.\./configure (--.*)$}m;
    my %dir = ($options // '') =~ /--(\w+)=(\S+)/g;
    my $statedir = make_value('statedir') =~ s{^\Q@{[make_value('localstatedir')]}\E}{$dir{localstatedir} // "$dir{prefix}/var"}er;
    my @places = map {text("$source/doc/$_.md") =~ m{HAStateFile (?:FILE`, `)?(/[\w/]+)}g} qw(install directives state);
    is(join(' ', @places), join(' ', ("$statedir/state") x 3), "$statedir/state");
};

subtest 'haproxy.load names modules that there are, and ours where it was installed' => sub {
    my $load = text("$path{modsdir}/haproxy.load");
    my ($depends) = $load =~ /^# Depends: (.*)$/m;
    is($depends, 'proxy proxy_http proxy_balancer lbmethod_byrequests authz_host', 'for a2enmod');
    ok(-e "$modules/mod_$_.so", "$_ exists") for split ' ', $depends;
    my $file = make_value('moduledir') . '/mod_haproxy.so';
    like($load, qr/^LoadModule haproxy_module \Q$file\E$/m, 'the path is that of the module');
};

# What Debian's own files say: they come with apache2, and apache2-bin is enough for this test.
my %debians = (proxy_http => 'proxy', proxy_balancer => 'proxy slotmem_shm', authz_host => 'authz_core');

# The modules that a2enmod enables for these: what their files depend on, and those of these in turn.
sub enabled(@names)
{
    my @all;
    for my $name (@names) {
        my ($load) = grep {-e} "$path{modsdir}/$name.load", "/etc/apache2/mods-available/$name.load";
        my ($depends) = $load ? text($load) =~ /^# Depends: +(.*)$/m : $debians{$name};
        push @all, enabled(split ' ', $depends // ''), $name;
    }
    my %seen;
    return grep {!$seen{$_}++} @all;
}

# The two files, as a2enmod links them, with their paths moved under the private folder.
sub enable($httpd_root)
{
    mkdir "$httpd_root/mods-enabled";
    for my $name (qw(load conf)) {
        my $text = text("$path{modsdir}/haproxy.$name");
        $text =~ s{(?<= )(/\S+/mod_haproxy\.so)}{$installed$1};
        $text =~ s{(?<=HAStateFile )(/\S+)}{$installed$1};
        $t->write_file("$httpd_root/mods-enabled/haproxy.$name", $text);
    }
    return;
}

subtest 'the installed files make a server that serves and keeps its state' => sub {
    my $app = $t->app('hostA', health => '/App/health');
    my $url = $app->url;
    my $httpd = $t->httpd(
        start => 0,
        preload => 1,
        ports => 2,
        modules => [grep {$_ ne 'haproxy'} enabled('haproxy')],
        config => <<~"END",
            IncludeOptional \@ROOT@/mods-enabled/*.load
            IncludeOptional \@ROOT@/mods-enabled/*.conf
            <Proxy "balancer://App">
                BalancerMember "$url" route=hostA
            </Proxy>
            HABalancer App
            HACheck    App uri=/App/health
            ProxyPass  "/" "balancer://App/"
            <VirtualHost *:\@PORT2\@>
                ProxyPass "/" "balancer://App/"
            </VirtualHost>
            END
    );
    enable($httpd->root);
    $httpd->start;
    $t->wait_for(qr/member hostA: unknown -> up/);
    for my $port ($httpd->port, $httpd->port(2)) {
        my $client = $t->client(port => $port);
        is($client->get('/ha-health')->body, "serving\n", 'ha-health answers beside a mount on /');
        is($client->get('/App/')->instance, 'hostA', 'so does the application');
    }
    is(health($httpd, 'App'), '200 200', 'ha-health knows it');
    $httpd->stop;
    is(mode("$path{statedir}/state"), '600', 'the state file is there after a stop');
};

subtest 'httpd-demo.conf serves an App.conf' => sub {
    my $app = $t->app('hostA');
    my $conf = text("$source/conf/App.conf");
    my $address = $app->address;
    $conf =~ s/hosta\.example:8080/$address/;
    $conf =~ s/^.*hostb\.example.*\n//m;
    my $file = $t->write_file('App.conf', $conf);
    my $httpd = $t->httpd(start => 0, preload => 1);
    my ($user, $group) = $httpd->identity;
    my $identity = $user ? "User $user\nGroup $group\n" : '';
    my $sample = text("$source/conf/httpd-demo.conf");
    my %own = (
        ErrorLog => $httpd->error_log,
        PidFile => $httpd->root . '/run/httpd.pid',
        DefaultRuntimeDir => $httpd->root . '/run',
    );
    $sample =~ s/^$_ .*$/$_ "$own{$_}"/m for sort keys %own;
    my %define = (
        MODULES => $modules,
        MOD_HAPROXY => HA::Test::module_path(),
        APP_CONF => $file,
        PORT => $httpd->port,
    );
    my $defines = join '', map {qq(Define $_ "$define{$_}"\n)} sort keys %define;
    $t->write_file($httpd->conf, $defines . $identity . $sample);
    $httpd->start;
    $t->wait_for(qr/member hostA: unknown -> up/);
    is(health($httpd, 'App'), '200 200', 'ha-health answers');
    is($t->client(port => $httpd->port)->get('/App/')->instance, 'hostA', 'so does the application');
};

subtest 'App.conf is what the commands write' => sub {
    my @fragments;
    for my $name (qw(hostA hostB)) {
        my @options = (
            '-app=App', '-context=/App', '-host=' . lc("$name.example"), '-port=8080',
            "-route=$name", '-sticky=zsessionid', '-health=/App/health'
        );
        push @fragments, $t->dir("$name.conf");
        my @command = ("$build/zero", 'modproxy', 'generate', "-o=$fragments[-1]", @options);
        is(system(@command), 0, "generate for $name");
    }
    my @merge = ("$build/zero", qw(modproxy merge -balancer), @fragments);
    open(my $out, '-|', @merge) or die "zero: $!\n";
    is(join('', <$out>), text("$source/conf/App.conf"), 'byte for byte');
};

subtest 'App.conf loads with the module and without it' => sub {
    for my $with (1, 0) {
        my $httpd = $t->httpd(
            start => 0,
            haproxy => $with,
            modules => \@proxy_modules,
            config => qq(Include "$source/conf/App.conf"),
        );
        my ($good, $said) = $httpd->check;
        ok($good, $with ? 'with' : 'without') or diag($said);
    }
};

$t->done;
