# SPDX-License-Identifier: Apache-2.0
# Owns a memcached of the distribution on a port of its own on loopback, and looking into it. Does not
# know what records mean.
package HA::Memcached;
use v5.36;

use HA::Client;

use constant {START_TRIES => 5, MEGABYTES => 64};

# Options: megabytes; args => [...] further arguments. It runs at once.
sub new($class, $t, $name, %opt)
{
    my $self = bless {t => $t, name => $name, %opt}, $class;
    return $self->start;
}

sub _command($self)
{
    my @user = $> == 0 ? ('-u', 'nobody') : ();
    return (
        'memcached', '-l', '127.0.0.1', '-p', $self->{port}, '-U', 0, '-t', 2,
        '-m', $self->{megabytes} // MEGABYTES, @user, @{$self->{args} // []}
    );
}

# Starts it, empty, on the same port each time, and waits until it answers.
sub start($self)
{
    my $t = $self->{t};
    my $first = !$self->{port};
    for (1 .. START_TRIES) {
        $self->{port} //= $t->port;
        $self->{pid} = $t->spawn($self->{name}, cmd => [$self->_command]);
        $t->wait_for(sub { $self->_answers || !$self->running }, 15, "the start of $self->{name}");
        return $self if $self->running;
        $t->may_fail($self->{pid});
        delete $self->{port} if $first;
    }
    die "$self->{name} did not start\n";
}

sub port($self)    { return $self->{port} }
sub pid($self)     { return $self->{pid} }
sub address($self) { return "127.0.0.1:$self->{port}" }
sub running($self) { return !defined $self->{t}->ended($self->{pid}) }

sub _answers($self)
{
    return eval { $self->ask('version') =~ /^VERSION/ };
}

sub kill($self)
{
    my $t = $self->{t};
    $t->signal($self->{pid}, 'CONT') if delete $self->{paused};
    $t->signal($self->{pid}, 'KILL');
    $t->wait_end($self->{pid});
    return;
}

# Starts it anew: empty.
sub restart($self)
{
    $self->kill if $self->running;
    return $self->start;
}

# SIGSTOP, and SIGCONT: it goes on with what it had.
sub pause($self)
{
    my $t = $self->{t};
    $t->signal($self->{pid}, 'STOP');
    $self->{paused} = 1;
    $t->wait_stopped($self->{pid});
    return;
}

sub resume($self)
{
    $self->{t}->signal($self->{pid}, 'CONT');
    delete $self->{paused};
    return;
}

# What it says to a command: all up to the line that ends it.
sub ask($self, $command, $data = undef)
{
    my $client = HA::Client->new(port => $self->{port}, timeout => 5);
    $client->send("$command\r\n" . (defined $data ? "$data\r\n" : ''));
    return $client->read_raw(
        until => qr/^(?:END|EN|HD.*|OK|STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|TOUCHED|ERROR|VERSION .*|CLIENT_ERROR.*|SERVER_ERROR.*)\r\n\z/m
    );
}

sub flush($self)
{
    $self->ask('flush_all');
    return;
}

# Names of what it holds, sorted.
sub names($self)
{
    my $text = $self->ask('lru_crawler metadump all');
    my @names = sort map {s/%([0-9A-Fa-f]{2})/chr hex $1/ger} $text =~ /^key=(\S+)/mg;
    return @names;
}

# How many seconds a value has to live yet, -1: no end; undef if there is none.
sub life($self, $name)
{
    my ($seconds) = $self->ask("mg $name t") =~ /^HD t(-?\d+)/;
    return $seconds;
}

# A value; undef if there is none.
sub get($self, $name)
{
    my $answer = $self->ask("get $name");
    my ($n) = $answer =~ /^VALUE \S+ \d+ (\d+)\r\n/ or return;
    return substr $answer, index($answer, "\r\n") + 2, $n;
}

sub set($self, $name, $value, $ttl = 0)
{
    my $answer = $self->ask("set $name 0 $ttl " . length $value, $value);
    die "$self->{name}: $answer" if $answer !~ /^STORED/;
    return;
}

# A number of its `stats`.
sub stat($self, $what)
{
    my ($value) = $self->ask('stats') =~ /^STAT $what (\S+)/m;
    return $value;
}

1;
