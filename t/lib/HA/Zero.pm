# SPDX-License-Identifier: Apache-2.0
# Owns running the built zero in a private folder for the tests of the command line.
package HA::Zero;
use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Copy ();
use File::Spec ();
use File::Temp qw(tempdir);
use IO::Select;
use IPC::Open3 qw(open3);
use POSIX ();
use Symbol qw(gensym);
use Test::More;

our @EXPORT = qw(zero zero_bin ends_with_code slurp spew fragment generate folder leftovers as_user);

my $bin = abs_path(($ENV{top_builddir} // '.') . '/zero');
my $tmp = File::Spec->tmpdir;

# The folders go away when a test is interrupted as well, and what reads its output with it.
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { $SIG{PIPE} = 'IGNORE'; exit 128 + 2 };
# A folder that we are in would not be removed.
END { chdir '/' }

# The program under test.
sub zero_bin { return $bin }

# Runs a program; gives exit code (or -signal), stdout and stderr.
sub run_program {
    my @argv = @_;
    my $err = gensym;
    # A single argument with a blank would be taken for a command line.
    my $pid = open3(my $in, my $out, $err, @argv > 1 ? @argv : ('env', @argv));
    close $in;
    # Both at once: one that fills its pipe while the other is read would wait for ever.
    my %said = map {fileno $_ => ''} $out, $err;
    my $open = IO::Select->new($out, $err);
    while (my @ready = $open->can_read) {
        for my $from (@ready) {
            sysread($from, $said{fileno $from}, 1 << 20, length $said{fileno $from}) or $open->remove($from);
        }
    }
    my ($stdout, $stderr) = map {$said{fileno $_}} $out, $err;
    waitpid $pid, 0;
    my $code = $? & 127 ? -($? & 127) : $? >> 8;
    return ($code, $stdout, $stderr);
}

# Runs zero with these arguments.
sub zero { return run_program($bin, @_) }

# The program where everybody may run it: the build may be in a folder that only root may enter.
sub public_bin {
    our $public;
    return $public if $public;
    my $folder = folder();
    chmod 0755, $folder or die "$folder: $!";
    File::Copy::copy($bin, "$folder/zero") or die "$folder/zero: $!";
    chmod 0755, "$folder/zero" or die "$folder/zero: $!";
    return $public = "$folder/zero";
}

# Runs zero as an ordinary user, because root may read and write everything.
sub as_user {
    my ($dir, @argv) = @_;
    return run_program($bin, @argv) if $> != 0;
    my $program = public_bin();
    my @user = getpwnam 'nobody';
    my $err = "$dir/.as-user";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', "$err.out";
        open STDERR, '>', "$err.err";
        $( = $) = "$user[3] $user[3]";
        ($<, $>) = ($user[2], $user[2]);
        exec $program, @argv or POSIX::_exit(126);
    }
    waitpid $pid, 0;
    my $code = $? >> 8;
    my @said = (slurp("$err.out"), slurp("$err.err"));
    unlink "$err.out", "$err.err";
    return ($code, @said);
}

# Runs zero and asserts exit code and what it says on stderr.
sub ends_with_code {
    my ($argv, $code, $says, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($got, $out, $err) = zero(@$argv);
    my $ok = $got == $code && $err =~ $says;
    ok($ok, $name) or diag("exit $got, want $code; stderr: $err; want: $says");
    unlike($err, qr/Sanitizer|runtime error/, "$name: no sanitizer report")
        if $err =~ /Sanitizer|runtime error/;
    return $out;
}

# A private folder that goes away with the test; in the same place when the test sets TMPDIR.
sub folder { return tempdir('zero-t-XXXXXX', DIR => $tmp, CLEANUP => 1) }

# A file's whole content; undef when there is none.
sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or return undef;
    local $/;
    my $text = <$in>;
    return $text // '';
}

# Makes a file with this content.
sub spew {
    my ($file, $text) = @_;
    open my $out, '>:raw', $file or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
    return $file;
}

# The fragment of one instance of App.
sub fragment {
    my %with = (app => 'App', context => '/App', host => 'hosta.example', port => 8080,
        route => 'hostA', sticky => 'zsessionid', health => '/App/health', upgrade => '', @_);
    my $end = $with{context} eq '/' ? '/' : $with{context};
    my $url = "http://$with{host}:$with{port}";
    return "# zero-fragment: 1\n# app: $with{app}\n# context: $with{context}\n# url: $url\n"
        . "# route: $with{route}\n"
        . ($with{sticky} ? "# sticky: $with{sticky}\n" : '')
        . ($with{health} ? "# health: $with{health}\n" : '')
        . ($with{upgrade} ? "# upgrade: $with{upgrade}\n" : '')
        . "ProxyPass        \"$with{context}\" \"$url$end\"" . ($with{upgrade} ? " upgrade=$with{upgrade}" : '') . "\n"
        . "ProxyPassReverse \"$with{context}\" \"$url$end\"\n";
}

# Temporary files that zero left behind in a folder; no test makes a hidden file of its own there.
sub leftovers {
    my ($dir) = @_;
    opendir my $handle, $dir or return ();
    return grep { /^\.[^.]/ } readdir $handle;
}

1;
