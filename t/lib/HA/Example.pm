# SPDX-License-Identifier: Apache-2.0
# Owns an instance of the application of examples/, in one of its languages. Does not speak HTTP
# with it: that is HA::Client.
package HA::Example;
use v5.36;

use IO::Socket::INET;

use HA::Client;
use HA::Log;

use constant START_TRIES => 5;

my %LANGUAGES = (
    python => {runs => 'python3', program => 'examples/python/cart.py'},
    node => {runs => 'node', program => 'examples/node/cart.js'},
);

# The languages whose examples can be run, whether or not what runs them is here.
sub languages
{
    return sort keys %LANGUAGES;
}

# What runs a language's example if it is here; its name is for people who miss it.
sub runs($language)
{
    return $LANGUAGES{$language}{runs};
}

sub is_here($language)
{
    return !!grep {-x "$_/$LANGUAGES{$language}{runs}"} split /:/, $ENV{PATH};
}

# Options: route, else the name; program => PATH in place of the example's application, with the
# same arguments; ttl => seconds.
sub new($class, $t, $language, $name, %opt)
{
    my $program = HA::Test::top_srcdir() . "/$LANGUAGES{$language}{program}";
    return bless {t => $t, language => $language, name => $name, program => $program, route => $name, %opt},
        $class;
}

# Starts it, on the same port each time, and waits until it listens.
sub start($self)
{
    my $t = $self->{t};
    my $first = !$self->{port};
    for (1 .. START_TRIES) {
        $self->{port} //= $t->port;
        my @args = map {"--$_=$self->{$_}"} grep {defined $self->{$_}} qw(route port ttl);
        $self->{pid} = $t->spawn(
            $self->{name},
            cmd => [$LANGUAGES{$self->{language}}{runs}, $self->{program}, @args],
            # Nothing is left in the folder of the sources.
            env => {PYTHONDONTWRITEBYTECODE => 1, PYTHONPATH => HA::Test::top_srcdir() . '/examples/python'},
        );
        $t->wait_for(sub { $self->_listens || !$self->running }, 15, "the start of $self->{name}");
        return $self if $self->running;
        $t->may_fail($self->{pid});
        last if !$first;
        delete $self->{port};
    }
    die "$self->{name} did not start:\n" . $self->log->text;
}

sub _listens($self)
{
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 1);
}

sub name($self)                { return $self->{name} }
sub route($self)               { return $self->{route} }
sub port($self)                { return $self->{port} }
sub address($self)             { return "127.0.0.1:$self->{port}" }
sub pid($self)                 { return $self->{pid} }
sub url($self, $path = '')     { return 'http://' . $self->address . $path }
sub log($self)                 { return HA::Log->new($self->{t}->dir("$self->{name}.out")) }

sub running($self)
{
    return $self->{pid} && !defined $self->{t}->ended($self->{pid});
}

# A client that speaks with the instance itself.
sub client($self, %opt)
{
    return HA::Client->new(port => $self->{port}, %opt);
}

# Ends it without notice; start brings it back on the same port, without its sessions.
sub kill($self)
{
    $self->{t}->signal($self->{pid}, 'KILL');
    $self->{t}->wait_end($self->{pid});
    return;
}

sub restart($self)
{
    $self->kill if $self->running;
    return $self->start;
}

1;
