#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Bad input, command by command: a sentence that says where, the right exit code, and everything on
# the disk as it was.
use v5.36;
use lib ($ENV{top_srcdir} // '.') . '/t/lib';
use Cwd qw(getcwd);
use Digest::SHA qw(sha256_hex);
use HA::Zero;
use POSIX qw(mkfifo);
use Test::More;

my $home = getcwd();
my $dir = folder();
chmod 0777, $dir;
chdir $dir or die;
$ENV{TMPDIR} = "$dir/tmp";
mkdir $ENV{TMPDIR};
chmod 01777, $ENV{TMPDIR};
mkdir 'config';

# httpd's own verdict is not asked for where it is not the point.
my @check = qw(modproxy check -httpd=/bin/true);
my @generate = qw(modproxy generate -host=hosta.example -app=App -context=/App -route=hostA -health=/App/health);
my $old = "kept as it was\n";
my $good = fragment(host => 'hostb.example', route => 'hostB');
my $map = slurp(($ENV{top_srcdir} // '.') . '/t/golden/map-1.txt');
my $conf = "ProxyPass /App http://a.invalid/App\nProxyPassReverse /App http://a.invalid/App\n";

# All that a file of ours can be read for, and the commands that do. `target` is what they would
# write.
my %reads = (
    'config/zero.config' =>
        {argv => [@generate, qw(-force -o=target.conf)], file => 'config/zero.config'},
    'the fragment to replace' => {argv => [@generate, '-o=bad.conf']},
    'a fragment to merge' => {argv => [qw(modproxy merge -balancer -o=target.conf good.conf bad.conf)]},
    'the merged file to replace' => {argv => [qw(modproxy merge -balancer -o=bad.conf good.conf)]},
    'the merged file of -diff' => {argv => [qw(modproxy merge -balancer -diff -o=bad.conf good.conf)]},
    'the file to check' => {argv => [@check, 'bad.conf']},
    'the file to explain' => {argv => [qw(modproxy explain -conf=bad.conf -url=/App)]},
    'the state to explain' => {argv => [qw(modproxy explain -conf=app.conf -url=/App -state=bad.conf)]},
    'the zones to ask' => {argv => [qw(zone status bad.conf)]},
    'the zones to read' => {argv => [qw(zone get -app=App -sid=x -conf=bad.conf)]},
    'the map to show' => {argv => [qw(map show bad.conf)]},
    'the map to check' => {argv => [qw(map check bad.conf)]},
    'the old map' => {argv => [qw(map diff bad.conf map)]},
    'the new map' => {argv => [qw(map diff map bad.conf)]},
);
$_->{file} //= 'bad.conf' for values %reads;

sub fresh
{
    spew('target.conf', $old);
    spew('good.conf', $good);
    spew('app.conf', $conf);
    spew('zone.conf', "HAZone App\n");
    spew('map', $map);
    my $other = $map =~ s/\A.*\n//r =~ s/"version": 17/"version": 18/r;
    spew('other-map', 'zero-map 1 ' . length($other) . ' ' . sha256_hex($other) . "\n$other");
    return;
}

# For a message: one or more lines of text that a terminal shows as it is.
sub is_clean($text)
{
    return utf8::decode($text) && $text =~ /\A[^\x00-\x09\x0b-\x1f\x7f-\x9f]*\n\z/;
}

# Asserts how a run has ended: (code, stdout, stderr) against a code and what it says on stderr.
sub ended($run, $code, $says, $name)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($got, $out, $err) = @$run;
    my $ok = $got == $code && $err =~ $says && ($err eq '' || is_clean($err));
    return ok($ok && ($out eq '' || is_clean($out)), "$name: exit $code")
        || diag("exit $got, want $code; stderr: $err; want: $says; stdout: " . substr $out, 0, 500);
}

sub untouched($name)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @left = (leftovers('.'), leftovers('config'), leftovers($ENV{TMPDIR}), glob "$ENV{TMPDIR}/*");
    is(slurp('target.conf') . join(' ', @left), $old, "$name: nothing has changed");
    return;
}

# --- files that cannot be read --------------------------------------------------------------------
my %unreadable = (
    'a folder' => [sub ($file) { mkdir $file }, 3, qr/is a folder, not a file/],
    'a named pipe' => [sub ($file) { mkfifo($file, 0666) }, 3, qr/is not a regular file/],
    'a device' => [sub ($file) { symlink '/dev/zero', $file }, 3, qr/is not a regular file/],
    'a link to itself' => [sub ($file) { symlink $file =~ s{.*/}{}r, $file }, 3,
        qr/cannot be read: Too many levels of symbolic links/],
    'of 65 MB' => [sub ($file) { spew($file, ''); truncate $file, 65 << 20 }, 1,
        qr/has 68157440 bytes, at most \d+ are read/],
    'forbidden' => [sub ($file) { spew($file, $good); chmod 0000, $file }, 3,
        qr/cannot be read: Permission denied/],
);
for my $what (sort keys %reads) {
    for my $how (sort keys %unreadable) {
        my ($make, $code, $says) = @{$unreadable{$how}};
        my ($file, $argv) = @{$reads{$what}}{qw(file argv)};
        fresh();
        $make->($file) or die "$file: $!";
        # Root may read what is forbidden.
        my @run = $how eq 'forbidden' ? as_user($dir, @$argv) : zero(@$argv);
        ended(\@run, $code, qr/^zero \w+ \w+: \Q$file\E: $says/, "$what is $how");
        untouched("$what is $how");
        rmdir $file or unlink $file;
    }
}

# --- content of every kind ------------------------------------------------------------------------
my $megabyte = 'x' x 1_000_000;
my $name = '/config/name = ';
my $fragment = fragment();
my $state = slurp(($ENV{top_srcdir} // '.') . '/t/golden/state-1.txt');

# What is taken ends with 0 and writes its target; all else leaves it.
my @contents = (
    ['config/zero.config', 'is empty', '', 0, qr/^$/],
    ['config/zero.config', 'has a line of 1 MB', "/config/other = $megabyte\n", 0, qr/^$/],
    ['config/zero.config', 'has a value of 1 MB', "$name$megabyte\n", 1,
        qr/:1: \/config\/name: "x{80}\.\.\." has 1000000 bytes, at most 63 are allowed$/m],
    ['config/zero.config', 'has a NUL byte', "#\n/config/other = \0\n", 1, qr/:2: has a NUL byte/],
    ['config/zero.config', 'is in UTF-16', "/\0c\0o\0n\0", 1, qr/:1: has a NUL byte/],
    ['config/zero.config', 'has a control byte', "\n${name}A\e[2J\n", 1,
        qr/:2: \/config\/name: "A\\x1b\[2J" has "\\x1b" at byte 2/],
    ['config/zero.config', 'is not UTF-8', "${name}A\xc3\n", 1, qr/:1: \/config\/name: .* has "\\xc3" at byte 2/],
    ['config/zero.config', 'has CR LF', "${name}App\r\n", 0, qr/^$/],
    ['config/zero.config', 'begins with a byte order mark', "\xef\xbb\xbf${name}1\n", 1,
        qr/:1: \/config\/name: "1" must begin with a letter/],
    ['config/zero.config', 'has an open bracket', "#\n/config/x = [\n${name}App\n", 1,
        qr/:2: opens a bracket that is never closed/],

    ['the fragment to replace', 'is empty', '', 1, qr/bad\.conf: is there and is not a fragment/],
    ['the fragment to replace', 'has a line of 1 MB', "$megabyte\n", 1, qr/is there and is not a fragment/],
    ['the fragment to replace', 'has a NUL byte', "\0\n", 1, qr/is there and is not a fragment/],

    ['a fragment to merge', 'is empty', '', 1, qr/bad\.conf: is empty/],
    ['a fragment to merge', 'has a line of 1 MB', "$fragment# $megabyte\n", 1,
        qr/bad\.conf:10: the line has 1000002 bytes, at most 8192/],
    ['a fragment to merge', 'has a NUL byte', "$fragment\0\n", 1, qr/bad\.conf:10: has a NUL byte/],
    ['a fragment to merge', 'has a control byte', "$fragment\e\n", 1, qr/bad\.conf:10: has the control byte \\x1b/],
    ['a fragment to merge', 'is not UTF-8', "$fragment\xed\xa0\x80\n", 1, qr/bad\.conf:10: has the byte \\xed/],
    ['a fragment to merge', 'has CR LF', $fragment =~ s/\n/\r\n/gr, 1, qr/bad\.conf:1: ends in CR LF/],

    ['the merged file of -diff', 'is empty', '', 1, qr/bad\.conf: is empty/],
    ['the merged file of -diff', 'has a line of 1 MB', "# zero-merge: 1\n$megabyte\n", 1,
        qr/bad\.conf:2: the line has 1000000 bytes/],
    ['the merged file of -diff', 'has a NUL byte', "# zero-merge: 1\n\0\n", 1, qr/bad\.conf:2: has a NUL byte/],
    ['the merged file of -diff', 'has a control byte', "# zero-merge: 1\n\e\n", 1,
        qr/bad\.conf:2: has the control byte \\x1b/],
    ['the merged file of -diff', 'is not UTF-8', "# zero-merge: 1\n\xff\n", 1, qr/bad\.conf:2: has the byte \\xff/],
    ['the merged file of -diff', 'has CR LF', "# zero-merge: 1\r\n", 1, qr/bad\.conf:1: ends in CR LF/],
    ['the merged file of -diff', 'is edited', "# zero-merge: 1\nListen 1\n", 1, qr/bad\.conf:\d+: /],

    ['the file to explain', 'is empty', '', 1, qr/bad\.conf: is empty/],
    ['the file to explain', 'has a line of 1 MB', "ProxyPass /$megabyte http://a.invalid/\n$conf", 0, qr/^$/],
    ['the file to explain', 'has a NUL byte', "$conf\0\n", 1, qr/bad\.conf:3: has a NUL byte/],
    ['the file to explain', 'has control bytes', "ProxyPass /\e[2J\x7f http://a\x01/\n$conf", 0, qr/^$/],
    ['the file to explain', 'is not UTF-8', "ProxyPass /\xff http://\xc2\x9b/\n$conf", 0, qr/^$/],
    ['the file to explain', 'has CR LF', $conf =~ s/\n/\r\n/gr, 0, qr/^$/],
    ['the file to explain', 'has an open section', "\n<Proxy x>\n", 1, qr/bad\.conf:2: the section <Proxy> is not closed/],

    ['the zones to ask', 'is empty', '', 1, qr/bad\.conf: there is no HAZone in it/],
    ['the zones to ask', 'has a line of 1 MB', "HAZone App\n# $megabyte\n", 0, qr/^$/],
    ['the zones to ask', 'has a value of 1 MB', "HAZone App store=$megabyte\n", 1, qr/bad\.conf:1: HAZone: "x{80}\.\.\." is no store/],
    ['the zones to ask', 'has a NUL byte', "HAZone App\n\0\n", 1, qr/bad\.conf:2: has a NUL byte/],
    ['the zones to ask', 'has control bytes', "HAZone A\e[2J store=shm:2M\n", 0, qr/^$/],
    ['the zones to ask', 'is not UTF-8', "HAZone \xff\xc2\x9b\n", 0, qr/^$/],
    ['the zones to ask', 'has CR LF', "HAZone App\r\nListen 1\r\n", 0, qr/^$/],
    ['the zones to ask', 'has an open section', "HAZone App\n<Proxy x>\n", 1, qr/bad\.conf:2: the section <Proxy> is not closed/],
    ['the zones to ask', 'includes a file with control bytes in its name', "Include x\ey\n", 3,
        qr/^zero zone status: x\\x1by: cannot be read: No such file/],
    ['the zones to read', 'has control bytes', "HAZone App key=\e[2J store=memcached:h\n", 1,
        qr/bad\.conf:1: HAZone: key=\\x1b\[2J is not allowed, use the path of a key file or none/],
    ['the zones to read', 'is not UTF-8', "HAZone App key=\xff\xc2\x9b store=memcached:h\n", 3,
        qr/zone get: \\xff\\xc2\\x9b cannot be read: No such file/],
    ['the zones to read', 'includes itself', "HAZone App\nInclude bad.conf\n", 1, qr/files include each other too often/],

    ['the state to explain', 'is empty', '', 1, qr/bad\.conf:1: this is no zero-state file/],
    ['the state to explain', 'has a line of 1 MB', "$megabyte\n", 1, qr/bad\.conf:1: this is no zero-state file/],
    ['the state to explain', 'has a NUL byte', $state =~ s/saved/saved\0/r, 1, qr/bad\.conf:1: \d+ bytes follow/],
    ['the state to explain', 'has a control byte', $state =~ s/drain/drai\e/r, 1,
        qr/bad\.conf:1: the file was changed or damaged: its SHA-256/],
    ['the state to explain', 'has CR LF', $state =~ s/\n/\r\n/gr, 1, qr/bad\.conf:1: this is no zero-state file/],
);
for my $case (@contents) {
    my ($what, $how, $content, $code, $says) = @$case;
    my ($file, $argv) = @{$reads{$what}}{qw(file argv)};
    fresh();
    spew($file, $content);
    ended([zero(@$argv)], $code, $says, "$what $how");
    untouched("$what $how") if $code != 0;
    is(slurp($file), $content, "$what $how: it is as it was") if $code != 0;
    unlink $file;
}

# --- names of files -------------------------------------------------------------------------------
my %shown = (
    "a\nb" => 'a\x0ab', "a\e[2Jb" => 'a\x1b[2Jb', "a\x7fb" => 'a\x7fb', "a\xffb" => 'a\xffb',
    "a\xc2\x9bb" => 'a\xc2\x9bb', "Gr\xc3\xb6\xc3\x9fe" => "Gr\xc3\xb6\xc3\x9fe", 'a%s"b' => 'a%s"b',
    'x' x 255 => 'x' x 255, '${PATH}>' => '${PATH}>',
);
for my $file (sort keys %shown) {
    my $name = length $file > 20 ? 'a long name' : $shown{$file};
    mkdir $file or die $!;
    for my $what (grep {!/zero\.config/} sort keys %reads) {
        fresh();
        my @argv = map {s/bad\.conf/$file/r} @{$reads{$what}{argv}};
        my $says = qr/^zero \w+ \w+: \Q$shown{$file}\E: is a folder, not a file$/m;
        ended([zero(@argv)], 3, $says, "$what is called $name");
        untouched("$what, $name");
    }
    rmdir $file;
}
ended([zero(qw(modproxy check app.conf), "-module=/a\e\xffb")], 3, qr/-module: \/a\\x1b\\xffb cannot be read/,
    'a module that is not there');

# --- an httpd that cannot be asked ----------------------------------------------------------------
my %programs = (
    'not there' => ["$dir/none", qr/there is no httpd at \Q$dir\E\/none: install apache2/],
    'a folder' => [$dir, qr/there is no httpd at \Q$dir\E: install/],
    'not a program' => ["$dir/app.conf", qr/there is no httpd at \Q$dir\E\/app\.conf: install/],
    'of another machine' => ["$dir/alien", qr/httpd ended with code 127 and without a word/],
    'one that says nothing' => ['/bin/false', qr/httpd ended with code 1 and without a word/],
    'one that dies' => ["$dir/dies", qr/httpd was ended by signal 9/],
);
fresh();
chmod 0755, spew('alien', "\x7fELF\x01"), spew('dies', "#!/bin/sh\nkill -9 \$\$\n");
for my $how (sort keys %programs) {
    my ($program, $says) = @{$programs{$how}};
    ended([zero(qw(modproxy check app.conf), "-httpd=$program")], 3, qr/app\.conf: $says/, "httpd is $how");
}
ended([zero(@check, 'app.conf', "-modules=$dir/none")], 3, qr/-modules: \S+none cannot be read/, 'no -modules');
ended([zero(@check, 'app.conf', "-modules=$dir/app.conf")], 3, qr/-modules: \S+ is not a folder/,
    '-modules is a file');
ended([zero(@check, 'app.conf', "-module=$dir")], 3, qr/-module: \S+ is a folder, not a file/,
    '-module is a folder');
{
    local $ENV{TMPDIR} = "$dir/none";
    ended([zero(@check, 'app.conf')], 3, qr/app\.conf: no private folder can be made for the test: No such/,
        'no folder for the test');
}
untouched('check');

# --- what cannot be written -----------------------------------------------------------------------
# The commands that write; NEW and OLD stand for a file that is not there and one that is.
my %writes = (
    'generate, a new file' => [@generate, '-o=NEW'],
    'generate, in place of another' => [@generate, qw(-force -o=OLD)],
    'merge, a new file' => [qw(modproxy merge -balancer -o=NEW good.conf)],
    'merge, in place of another' => [qw(modproxy merge -balancer -force -o=OLD good.conf)],
);

# A command line of %writes with these files.
sub writing($what, $new, $existing)
{
    return map {s/\bNEW$/$new/r =~ s/\bOLD$/$existing/r} @{$writes{$what}};
}

# Runs zero while no file may grow: a full disk that needs no root.
sub without_room(@argv)
{
    return HA::Zero::run_program('sh', '-c', 'ulimit -f 0; exec "$@"', 'sh', zero_bin(), @argv);
}

# Runs zero with the folder full/ on a disk of its own that is full up; its files come back in
# after/. Nothing where this user may not mount one.
sub on_full_disk(@argv)
{
    return if $> != 0;
    my $script = 'mount -t tmpfs -o size=16k tmpfs full && cp target.conf full || exit 99;'
        . ' dd if=/dev/zero of=full/fill bs=1k count=64 2>/dev/null; "$@"; code=$?;'
        . ' rm full/fill; cp -a full/. after; exit $code';
    my @run = HA::Zero::run_program(qw(unshare -m sh -c), $script, 'sh', zero_bin(), @argv);
    return $run[0] == 99 || $run[2] =~ /unshare/ ? () : @run;
}

mkdir 'shut';
spew('shut/target.conf', $old);
chmod 0555, 'shut';
for my $what (sort keys %writes) {
    fresh();
    my $new = 'new.conf';
    ended([without_room(writing($what, $new, 'target.conf'))], 3,
        qr/(?:new|target)\.conf: cannot be written: File too large/, "no room: $what");
    untouched("no room: $what");
    ok(!-e $new, "no room: $what: no piece of a file");

    my @shut = writing($what, 'shut/new.conf', 'shut/target.conf');
    ended([as_user($dir, @shut)], 3, qr/shut\/(?:new|target)\.conf: cannot be written: Permission denied/,
        "no permission: $what");
    is(join(' ', map {s{.*/}{}r} glob 'shut/{*,.[!.]*}') . slurp('shut/target.conf'), "target.conf$old",
        "no permission: $what: nothing has changed");

    my @nowhere = writing($what, 'none/x.conf', 'target.conf/x.conf');
    ended([zero(@nowhere)], 3, qr/(?:none|target\.conf)\/x\.conf: cannot be \w+: (?:No such file|Not a directory)/,
        "no folder: $what");
    symlink 'none/x', 'loose.conf';
    ended([zero(writing($what, 'loose.conf', 'loose.conf'))], 3,
        qr/loose\.conf: is a symbolic link that leads nowhere/, "a link that leads nowhere: $what");
    unlink 'loose.conf';
    untouched("no folder, a loose link: $what");

  SKIP: {
        mkdir $_ for qw(full after);
        my @run = on_full_disk(writing($what, 'full/new.conf', 'full/target.conf'));
        skip 'a full disk needs root and mount namespaces', 2 if !@run;
        ended(\@run, 3, qr/full\/(?:new|target)\.conf: cannot be written: No space left on device/,
            "a full disk: $what");
        is(join(' ', map {s{.*/}{}r} glob 'after/{*,.[!.]*}') . slurp('after/target.conf'),
            "target.conf$old", "a full disk: $what: nothing has changed");
        unlink 'after/target.conf';
    }
}
chmod 0755, 'shut';
fresh();
ended([without_room(qw(modproxy check app.conf))], 3,
    qr/app\.conf: the configuration to test cannot be written: File too large/, 'no room: check');
untouched('no room: check');
SKIP: {
    local $ENV{TMPDIR} = "$dir/full";
    my @run = on_full_disk(qw(modproxy check app.conf));
    skip 'a full disk needs root and mount namespaces', 2 if !@run;
    ended(\@run, 3, qr/app\.conf: the configuration to test cannot be written: No space left/, 'a full disk: check');
    is(join(' ', map {s{.*/}{}r} glob 'after/{*,.[!.]*}'), 'target.conf', 'a full disk: check leaves nothing');
    unlink 'after/target.conf';
}
{
    local $ENV{TMPDIR} = "$dir/shut";
    chmod 0555, 'shut';
    ended([as_user($dir, qw(modproxy check app.conf))], 3,
        qr/app\.conf: no private folder can be made for the test: Permission denied/, 'no permission: check');
}

# What is said on standard output has to get there.
my @says = (
    [@generate], [qw(modproxy merge good.conf)], [qw(modproxy merge -diff -o=none.conf good.conf)],
    [@check, 'app.conf'], [qw(modproxy explain -conf=app.conf -url=/App)], [qw(modproxy)], [],
    [qw(zone status zone.conf)], [qw(zone status -json zone.conf)],
    [qw(map show map)], [qw(map show -json map)], [qw(map check map)], [qw(map diff map other-map)],
    [qw(help)], [qw(help modproxy)], [qw(help modproxy merge)], [qw(-version)],
);
for my $argv (@says) {
    my @command = ('sh', '-c', '', 'sh', zero_bin(), @$argv);
    for my $out ('>/dev/full', '>&-') {
        $command[2] = qq("\$@" $out);
        ended([HA::Zero::run_program(@command)], 3, qr/^zero.*: standard output cannot be written$/m,
            "zero @$argv $out");
    }
}
untouched('standard output');

# A system call of the one who writes that fails, where there is a tracer to make it so.
my @tracer = qw(strace -f -o /dev/null);
SKIP: {
    local $ENV{ASAN_OPTIONS} = 'detect_leaks=0';
    my $traced = eval { (HA::Zero::run_program(@tracer, 'true'))[0] == 0 };
    skip 'there is no strace that may trace', 36 if !$traced;
    for my $call (qw(fsync fchmod rename)) {
        for my $what (sort keys %writes) {
            fresh();
            my @argv = (@tracer, "-einject=$call:error=EIO", zero_bin(), writing($what, 'new.conf', 'target.conf'));
            ended([HA::Zero::run_program(@argv)], 3, qr/\.conf: cannot be .*: Input\/output error/,
                "$call fails: $what");
            untouched("$call fails: $what");
            ok(!-e 'new.conf', "$call fails: $what: no piece of a file");
        }
    }
}

# --- how each command is called -------------------------------------------------------------------
# Its options, as its help shows them: {name => what it takes, or undef}.
sub options_of($command)
{
    my ($synopsis) = (zero('help', 'modproxy', $command))[1] =~ /^(zero modproxy .*)$/m;
    return map {/^-(\w+)(?:=(\w+))?$/ ? ($1 => $2) : ()} $synopsis =~ /\[(-[\w=]+)\]/g;
}

my %operands = (generate => [], merge => ['good.conf'], check => ['app.conf'], explain => []);
fresh();
for my $command (sort keys %operands) {
    my %takes = options_of($command);
    my $try = sub ($words, $code, $says, $name) {
        my $shown = join ' ', map {length > 40 ? substr($_, 0, 20) . '...' : $_} @$words;
        ended([zero('modproxy', $command, @$words, @{$operands{$command}})], $code,
            qr/^zero modproxy $command: $says/, "$command $shown: $name");
    };
    $try->([$_], 2, qr/unknown option -nosuch, allowed are -\w+/, 'an unknown option')
        for '-nosuch', '--nosuch', '-nosuch=x', '--nosuch=';
    $try->(['-'. uc $_], 2, qr/unknown option/, 'another case') for (sort keys %takes)[0];
    for my $option (sort keys %takes) {
        my $value = $takes{$option};
        if (!$value) {
            $try->(["-$option=yes"], 2, qr/-$option takes no value, write -$option$/m, 'a value');
            $try->(["-$option", "--$option"], 2, qr/-$option is given twice/, 'twice');
            next;
        }
        $try->([$_], 2, qr/-$option has no value, write -$option=$value/, 'no value')
            for "-$option", "-$option=", "--$option", "--$option=";
        $try->(["-$option=a", "--$option=a"], 2, qr/-$option is given twice, give it once/, 'twice');
    }
}
my %operand = (merge => 'FRAGMENT', check => 'FILE');
for my $command (sort keys %operands) {
    my $says = $operand{$command} ? qr/\Q$operand{$command}...\E is missing/ : qr/unexpected "x"/;
    ended([zero('modproxy', $command, $operand{$command} ? () : 'x')], 2, $says, "$command, its operands");
}

# The longest argument that Linux passes on.
my $longest = 'x' x 131_000;
for my $option (qw(app context host port route sticky health upgrade)) {
    ended([zero(qw(modproxy generate), "-$option=$longest")], 2,
        qr/^zero modproxy generate: -$option: "x{80}\.\.\." /, "generate -$option with 131,000 bytes");
}
ended([zero(@generate, "-o=$longest")], 3, qr/File name too long/, 'generate -o with 131,000 bytes');
ended([zero(qw(modproxy merge), "-o=$longest", 'good.conf')], 3, qr/File name too long/, 'merge -o');
ended([zero(qw(modproxy merge), $longest)], 3, qr/File name too long/, 'a fragment');
ended([zero(qw(modproxy check app.conf), "-$_=/$longest")], 3, qr/^zero modproxy check: /, "check -$_")
    for qw(httpd modules module);
ended([zero(qw(modproxy explain -conf=app.conf), "-url=/App/$longest", "-cookie=$longest")], 0, qr/^$/,
    'explain with 131,000 bytes of path and of cookie');
ended([zero(qw(modproxy explain -conf=app.conf -url=/App), "-client=$longest")], 2, qr/is not an IP address/,
    'explain -client with 131,000 bytes');
ended([zero("-$longest")], 2, qr/unknown command "-x+\.\.\."/, 'a command of 131,000 bytes');
ended([zero('help', 'modproxy', $longest)], 2, qr/unknown command "modproxy x+\.\.\."/, 'help for one');

# --- names that try to leave their quotes ---------------------------------------------------------
my @evil = ('a\\', 'a"b', 'a>b', '</Proxy>', '${PATH}', 'a%{b}', "a'b", "a\x01b", "a\xffb", 'a b', "a\tb",
    'a`b', "a\nListen 1");
my %fields = (app => '', context => '/', host => '', port => '8', route => '', sticky => '', health => '/', upgrade => '');

# Whole, as generate would write them if it let them through.
for my $field (sort keys %fields) {
    for my $value (@evil) {
        fresh();
        spew('bad.conf', fragment($field => "$fields{$field}$value"));
        my $name = "a fragment whose $field has " . $value =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
        my @run = zero(qw(modproxy merge -balancer -o=target.conf bad.conf));
        ended(\@run, 1, qr/^zero modproxy merge: bad\.conf:\d+: /, $name);
        ended([zero(qw(modproxy merge -o=target.conf good.conf bad.conf))], 1,
            qr/^zero modproxy merge: bad\.conf:\d+: /, "$name, beside another");
        untouched($name);
    }
}
my @keys = qw(name http/ipAddress http/port contextRoot externalUriPrefix apacheRouteID health upgrade);
for my $key (@keys) {
    # A blank or a quote ends a value there, a newline begins the next line.
    for my $value (grep {!/[\n'\t ]/} @evil) {
        fresh();
        spew('config/zero.config', "\n/config/$key = /$value\n");
        my $name = "/config/$key with " . $value =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
        ended([zero(qw(modproxy generate -force -o=target.conf))], 1,
            qr/^zero modproxy generate: config\/zero\.config:2: \/config\/$key: /, $name);
        untouched($name);
    }
}
unlink 'config/zero.config';

# --- a million members ----------------------------------------------------------------------------
# Last, because a Perl that has grown is slow to fork.
use constant {MILLION => 1_000_000, MOST => 65_536};

# An Apache file with n members of one balancer.
sub balancer($n)
{
    return "<Proxy \"balancer://App\">\n"
        . join('', map {"BalancerMember http://h$_:1 route=r$_\n"} 1 .. $n)
        . "ProxySet stickysession=zsessionid\n</Proxy>\nProxyPass /App balancer://App/App\n"
        . "ProxyPassReverse /App balancer://App/App\nHABalancer App\n";
}

# A state file with n members, in their order.
sub states($n)
{
    my ($line) = $state =~ /^(member .*route="hostA".*\n)/m;
    $line =~ s/admin=drain/admin=enabled/;
    my $body = join '', "saved 1\n", map {$line =~ s/hostA/$_/r} sort map {"r$_"} 1 .. $n;
    return sprintf "zero-state 1 %d %s\n%s", length $body, sha256_hex($body), $body;
}

fresh();
spew('million.conf', balancer(MILLION));
ended([zero(@check, 'million.conf')], 0, qr/^$/, 'check reads a million members');
my @explain = qw(modproxy explain -url=/App -cookie=zsessionid=1.r1);
ended([zero(@explain, '-conf=million.conf')], 1,
    qr/million\.conf:1: the module does not start with this: it has 1000000 members, and HAMaxMembers takes at most 65536/,
    'explain refuses a million members');
ended([zero(qw(modproxy merge -balancer -o=target.conf million.conf))], 1,
    qr/million\.conf: has \d+ bytes, at most 2097152/, 'merge refuses a million members as a fragment');
spew('million.conf', "# zero-merge: 1\n" . balancer(MILLION) =~ s/^(B\S+) (\S+)/    $1 "$2"/gmr
    =~ s/^ProxySet/    ProxySet/mr =~ s/^(ProxyPass\S* +)(\S+) (\S+)/$1"$2" "$3"/gmr
    =~ s/^ProxyPass /ProxyPass        /mr =~ s/^HABalancer App\n//mr);
ended([zero(qw(modproxy merge -balancer -diff -o=million.conf good.conf))], 1,
    qr/million\.conf: 1000000 fragments are too many, at most 10000/,
    'merge -diff refuses a million members');
spew('million.conf', states(MOST + 1));
ended([zero(@explain, qw(-conf=app.conf -state=million.conf))], 1,
    qr/million\.conf: the file has 65537 members, but there is room for 65536/,
    'a state of more members than there can be');
untouched('a million members');

spew('million.conf', balancer(MOST));
spew('state', states(MOST));
my ($code, $out, $err) = zero(qw(modproxy explain -url=/App -conf=million.conf -state=state));
ok($code == 0 && $out =~ /^choice .* one of 65520 others/m, 'as many as there can be are explained')
    or diag("$code $err");
unlink 'million.conf', 'state';

chdir $home;
done_testing();
