# SPDX-License-Identifier: Apache-2.0
# What tools/check says and leaves, on a build that is none: a Makefile whose tests are told here. What
# tools/setup has apt-get do, on a system that is none.
use v5.36;

use File::Copy ();

use HA::Test;

my $t = HA::Test->new;
my $tree = $t->dir('tree');
mkdir $_ or die "$_: $!\n" for $tree, map {"$tree/$_"} qw(tools t build build/t);
for my $name (qw(check failures)) {
    File::Copy::copy(HA::Test::top_srcdir() . "/tools/$name", "$tree/tools/$name") or die "$!\n";
}
$t->write_file("$tree/tools/$_", "#!/bin/sh\n") for qw(setup build);
chmod 0755, glob "$tree/tools/*";

# Starts tools/check. Its pid, and the log of what it says.
sub start_check($name, $recipe)
{
    $t->write_file("$tree/build/Makefile", "check:\n" . $recipe =~ s/^/\t/gmr);
    my $pid = $t->spawn($name, cmd => ["$tree/tools/check", '--quick'], env => {MAKEFLAGS => '', TESTS => ''}, death => POSIX::SIGTERM);
    $t->may_fail($pid);
    return ($pid, HA::Log->new($t->dir("$name.out")));
}

# What a test program leaves in its build.
sub result($name, $result, $log)
{
    $t->write_file("$tree/$name.log", $log);
    $t->write_file("$tree/$name.result", ":global-test-result: $result\n");
    return "cp ../$name.log $name.log && cp ../$name.result $name.trs && echo '$result: $name'\n";
}

subtest 'of what failed it says what and why, and no more' => sub {
    my $tap = join '', map {"ok $_ - passes $_\n"} 1 .. 500;
    $tap .= "# Subtest: a good one\n    ok 1 - inside\n    1..1\nok 501 - a good one\n";
    $tap .= "# Subtest: a bad one\n    ok 1 - fine\n    not ok 2 - broken\n";
    $tap .= "    #   Failed test 'broken'\n    1..2\nnot ok 502 - a bad one\n";
    $tap .= join '', map {"ok $_ - passes $_\n"} 503 .. 1000;
    my $words = join '', map {"word $_\n"} 1 .. 1000;
    my $recipe = result('good', PASS => "secret\n") . result('tap', FAIL => $tap)
        . result('words', FAIL => $words) . "exit 1\n";
    my ($pid, $log) = start_check('failing', $recipe);
    is($t->wait_end($pid) >> 8, 1, 'exit 1');
    my $said = $log->text;
    like($said, qr/^1 passed, 2 failed, 0 skipped\n\z/m, 'the last line counts') or diag($said);
    like($said, qr/^== build\/tap failed, all that it said is in build\/tap\.log$/m, 'a failed one');
    my $failed = "# Subtest: a bad one\n    not ok 2 - broken\nnot ok 502 - a bad one\n"
        . "    #   Failed test 'broken'\n";
    like($said, qr/\n\Q$failed\E/, 'its failed assertions, in their subtest');
    like($said, qr/^== build\/words failed/m, 'one that does not speak TAP');
    like($said, qr/^word 951\n(?:word \d+\n)+word 1000$/m, 'its end');
    unlike($said, qr/secret|a good one|word 950\n|passes 500/, 'not what passed, nor all');
    cmp_ok(scalar @{$log->lines}, '<', 150, 'a page or two');
};

subtest 'a test of real servers that failed runs again alone' => sub {
    my %log = (late => 'not ok 1', broken => 'not ok 1', crashed => "not ok 1\n# ERROR: AddressSanitizer");
    my ($all, $alone) = ('', '');
    for my $name (sort keys %log) {
        $t->write_file("$tree/t/$name.t", '');
        $all .= result("t/$name", FAIL => "$log{$name}\n");
        my $result = $name eq 'broken' ? 'FAIL' : 'PASS';
        $t->write_file("$tree/t/$name.again", ":global-test-result: $result\n");
        $alone .= "[ t/$name.t != '\$(TESTS)' ] || cp ../t/$name.again t/$name.trs\n";
    }
    $all .= result('unit', FAIL => "a unit test\n");
    my $recipe = join '', map {"if [ -z '\$(TESTS)' ]; then $_; else true; fi\n"} split /\n/, $all;
    my ($pid, $log) = start_check('again', "$recipe${alone}[ '\$(TESTS)' = t/late.t ]\n");
    is($t->wait_end($pid) >> 8, 1, 'exit 1');
    my $said = $log->text;
    my @again = $said =~ /^== build: (\S+) again, alone$/mg;
    is("@again", 't/broken.t t/late.t', 'none that a sanitizer has ended, and no unit test');
    like($said, qr/^== build\/t\/late failed/m, 'what it said at first is shown');
    like($said, qr/^passed only when run again, alone: build\/t\/late\.t\n1 passed, 3 failed, 0 skipped\n\z/m, 'the end names it')
        or diag($said);
    unlink glob "$tree/build/*.trs $tree/build/t/*.trs $tree/t/*";
};

for my $signal (qw(INT TERM)) {
    subtest "SIG$signal waits until the tests have cleaned up, and says so" => sub {
        my $script = $t->write_file("$tree/slow.pl", <<~'END');
            $SIG{TERM} = sub { select undef, undef, undef, 0.5; unlink '../left'; exit 130 };
            open my $out, '>', '../left' or die;
            sleep 60;
            END
        my ($pid, $log) = start_check("stopped by $signal", "(sh -c '$^X $script; echo FAIL: slow')\n");
        $t->wait_for(sub { -e "$tree/left" });
        # As a terminal does, to all that are in front.
        $t->may_die_by($pid, $signal);
        kill $signal, -$pid;
        is($t->wait_end($pid) >> 8, 128 + {INT => 2, TERM => 15}->{$signal}, 'exit 128 + signal');
        ok(!-e "$tree/left", 'the test has removed its file');
        like($log->text, qr/^interrupted\n\z/m, 'the last word') or diag($log->text);
        unlike($log->text, qr/FAIL|failed/, 'nothing has failed');
    };
}

# --- tools/setup: its system is a folder, and apt-get notes what it was told -------------------------

my $system = $t->dir('system');
mkdir $_ or die "$_: $!\n" for $system, map {"$system/$_"} qw(bin etc etc/apt etc/apt/sources.list.d);

# What dpkg-query and apt-cache know is in files: a version for each package.
my %fake = (
    id => 'echo 0',
    'dpkg-query' => 'cd "$SYSTEM/installed" && [ -f "$4" ] || exit 1
        case $3 in *Status*) printf installed ;; *) cat "$4" ;; esac',
    'apt-cache' => 'printf "%s:\n  Installed: (none)\n  Candidate: %s\n" "$2" "$(cat "$SYSTEM/candidates/$2" || echo "(none)")" 2>/dev/null',
    'apt-get' => 'suite= parts= names= what= origin=candidates
        while [ $# -gt 0 ]; do
            case $1 in
            -o) case $2 in *sourceparts=*) parts=${2#*=} ;; esac; shift ;;
            -t) suite=" of $2" origin=backports; shift ;;
            -*) ;;
            update | install) what=$1 ;;
            *) names="$names $1" ;;
            esac
            shift
        done
        [ -z "$parts" ] || { rm -rf "$SYSTEM/parts"; cp -r "$parts" "$SYSTEM/parts"; }
        echo "$what${names:+ $(echo $names | wc -w)}$(case $names in *libraft-dev*) echo " with libraft-dev" ;; esac)$suite" >>"$SYSTEM/told"
        [ -z "$suite" ] || [ -d "$SYSTEM/backports" ] || exit 100
        for name in $names; do
            cat "$SYSTEM/$origin/$name" >"$SYSTEM/installed/$name" 2>/dev/null || echo 1 >"$SYSTEM/installed/$name"
        done',
);
for my $name (keys %fake) {
    $t->write_file("$system/bin/$name", "#!/bin/sh\n$fake{$name}\n");
    chmod 0755, "$system/bin/$name";
}
{
    my $text = HA::Log->new(HA::Test::top_srcdir() . '/tools/setup')->text;
    $t->write_file("$system/setup", $text =~ s{(?<=[ "])/etc/}{$system/etc/}gr);
    chmod 0755, "$system/setup";
}

# Runs it where these versions of libraft-dev are installed, to be had, and in backports: (exit code,
# what it has said, what apt-get was told, by line). With all => 1 the other packages are there.
sub setup(%opt)
{
    system 'rm', '-rf', map {"$system/$_"} qw(installed candidates backports parts told);
    mkdir "$system/$_" or die "$_: $!\n" for qw(installed candidates), $opt{backports} ? 'backports' : ();
    $t->write_file("$system/candidates/libraft-dev", "$opt{candidate}\n");
    $t->write_file("$system/backports/libraft-dev", "$opt{backports}\n") if $opt{backports};
    my @names = map {/^  ([a-z]\S+)/ ? $1 : ()} qx('$system/setup' --list);
    $t->write_file("$system/installed/$_", "1\n") for $opt{all} ? grep {$_ ne 'libraft-dev'} @names : ();
    $t->write_file("$system/installed/libraft-dev", "$opt{installed}\n") if $opt{installed};
    my $said = qx(SYSTEM='$system' PATH='$system/bin':"\$PATH" '$system/setup' 2>&1);
    my $code = $? >> 8;
    my $told = -e "$system/told" ? HA::Log->new("$system/told")->text : '';
    return ($code, $said, [split /\n/, $told], scalar @names);
}

sub text($path) { return -e $path ? HA::Log->new($path)->text : undef }

subtest 'tools/setup takes libraft from backports where the own one is too old' => sub {
    plan skip_all => 'no dpkg here to compare versions' if !grep {-x "$_/dpkg"} split /:/, $ENV{PATH};
    my $etc = "$system/etc";
    $t->write_file("$etc/os-release", qq(NAME="Debian"\nVERSION_CODENAME=bookworm\n));
    $t->write_file("$etc/apt/sources.list", <<~'END');
        # deb http://old.example/debian bookworm main
        deb [signed-by=/k.gpg arch=amd64] http://mirror.example/debian bookworm main contrib
        deb-src http://mirror.example/debian bookworm main
        deb http://mirror.example/debian bookworm-updates main
        deb http://security.example/debian-security bookworm-security main
        END
    $t->write_file("$etc/apt/sources.list.d/own.list", "deb http://own.example/debian trixie main\n");
    $t->write_file("$etc/apt/sources.list.d/debian.sources", <<~'END');
        Types: deb
        URIs: http://mirror.example/debian
        Suites: bookworm bookworm-updates
        Components: main

        Types: deb
        URIs: http://security.example/debian-security
        Suites: bookworm-security
        Components: main
        END

    my ($code, $said, $told, $n) = setup(candidate => '0.15.0-1', backports => '0.22.1-1~bpo12+1');
    is($code, 0, 'nothing is installed: it ends well') or diag($said);
    is_deeply($told, ['update', 'install ' . ($n - 1), 'update', 'install 1 with libraft-dev of bookworm-backports'], 'the others as they are, libraft of backports');
    is(text("$system/parts/backports.list"), "deb [signed-by=/k.gpg arch=amd64] http://mirror.example/debian bookworm-backports main contrib\n", 'which are on the same mirror');
    is(text("$system/parts/backports.sources"), "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\n", 'in either form');
    is(text("$system/parts/own.list"), "deb http://own.example/debian trixie main\n", 'beside all that this system has');
    ok(!-e "$etc/apt/sources.list.d/backports.list", 'whose own list stays as it is');

    ($code, $said, $told) = setup(all => 1, installed => '0.15.0-1', candidate => '0.15.0-1', backports => '0.22.1-1~bpo12+1');
    is_deeply([$code, $told], [0, ['update', 'update', 'install 1 with libraft-dev of bookworm-backports']], 'one that is too old is missing');

    ($code, $said, $told) = setup(all => 1, installed => '0.22.1-1~bpo12+1', candidate => '0.15.0-1');
    is_deeply([$code, $said, $told], [0, '', []], 'with a new one there is nothing to be done');

    ($code, $said, $told, $n) = setup(candidate => '0.18.0-1');
    is_deeply([$code, $told], [0, ['update', "install $n with libraft-dev"]], 'a suite whose own one is new enough');

    ($code, $said, $told, $n) = setup(candidate => '0.15.0-1');
    is_deeply([$code, [@$told[2 .. 4]]], [0, ['update', 'install 1 with libraft-dev of bookworm-backports', 'install 1 with libraft-dev']], 'without backports the old one, for one host');
    like($said, qr/no libraft 0\.18 in backports: zerod will be for one host only/, 'which is said');
};

subtest 'each tool tells how it is called' => sub {
    for my $name (qw(demo check build setup)) {
        my $tool = HA::Test::top_srcdir() . "/tools/$name";
        my $said = qx('$tool' --help 2>&1);
        is($?, 0, "$name --help ends well");
        like($said, qr/^  tools\/$name/m, 'and shows it');
        unlike($said, qr/set -|^#/m, 'and nothing of its code');
    }
    my $link = $t->dir('link');
    symlink HA::Test::top_srcdir() . '/tools/demo', $link or die "$link: $!\n";
    like(qx('$link' --help 2>&1), qr/^  tools\/demo/m, 'also through a link');
};

$t->done;
