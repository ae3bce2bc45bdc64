# SPDX-License-Identifier: Apache-2.0
# Owns what all contenders have in common: their names, whether they are to be had here, being
# started on their core, being stopped. Each one's configuration is in a file of its own.
package Bench::Contender;
use v5.36;

use IO::Socket::INET;
use POSIX ();

use HA::Log;

use Bench::Contender::Forward;
use Bench::Contender::Haproxy;
use Bench::Contender::Httpd;
use Bench::Contender::Nginx;
use Bench::Machine;

# Name, class, and what it is.
my @table = (
    forward => ['Forward', 'blind byte forwarder: the floor'],
    stock => ['Httpd', 'httpd with mod_proxy_balancer'],
    standard => ['Httpd', 'mod_haproxy on the standard path'],
    lane => ['Httpd', 'mod_haproxy in the lane'],
    listen => ['Httpd', 'mod_haproxy in the lane, with HAListen'],
    haproxy => ['Haproxy', 'HAProxy'],
    nginx => ['Nginx', 'nginx'],
);
my @names = map {$table[2 * $_]} 0 .. $#table / 2;
my %by_name = @table;

sub names($class)        { return @names }
sub title($class, $name) { return $by_name{$name}[1] }

# One that is not started. Options: members => [ports]; routes => [names] of the same order; threads
# for httpd; log => 1 for an access log; idle => how many connections beside the active ones.
sub new($class, $t, $name, %opt)
{
    my $kind = "Bench::Contender::$by_name{$name}[0]";
    my $folder = $name . '-' . ++$t->{contenders};
    return bless {t => $t, name => $name, folder => $folder, threads => 64, idle => 0, %opt}, $kind;
}

sub name($self) { return $self->{name} }
sub port($self) { return $self->{port} }
sub pid($self)  { return $self->{pid} }

# Whether it keeps sessions on their members and spreads the rest.
sub balances($self) { return 1 }

# Why it cannot take part here, or undef.
sub missing($self) { return undef }

# Its version in a few words.
sub version($self) { return 'of this build' }

# The path of a program, also where an ordinary user's PATH does not lead; undef if there is none.
sub find_program($name)
{
    my ($path) = grep {-x} map {"$_/$name"} split(/:/, $ENV{PATH}), qw(/usr/sbin /usr/local/sbin);
    return $path;
}

# What a command says, first line.
sub first_line($command)
{
    my ($line) = split /\n/, qx($command 2>&1) // '';
    return $line // '';
}

# Starts it on the proxies' core. Dies when it does not serve.
sub start($self)
{
    my ($core) = Bench::Machine::cores();
    Bench::Machine::on_core($core, sub { $self->launch });
    my $why = Bench::Machine::strays($self->{pid}, $core);
    die "$why\n" if $why;
    return $self;
}

# For programs that are told a port: spawns, and waits until it answers.
sub spawn_on_port($self, @command)
{
    my ($t, $folder) = @$self{qw(t folder)};
    $self->{pid} = $t->spawn($folder, cmd => \@command, death => POSIX::SIGTERM());
    $t->wait_for(
        sub {
            return 1 if defined $t->ended($self->{pid});
            return !!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port});
        },
        15, "the start of $self->{name}"
    );
    return if !defined $t->ended($self->{pid});
    die "$self->{name} did not start:\n" . HA::Log->new($t->dir("$folder.out"))->text;
}

sub stop($self)
{
    my ($t, $pid) = @$self{qw(t pid)};
    return if !$pid || defined $t->ended($pid);
    $t->signal($pid, 'TERM');
    return if eval { $t->wait_end($pid); 1 };
    $t->signal($pid, 'KILL');
    $t->wait_end($pid);
    return;
}

1;
