# SPDX-License-Identifier: Apache-2.0
# Owns the configurations of the four contenders that are httpd: stock, and ours on the standard
# path, in the lane, and in the lane with a port of its own. One child of event, so that all they do
# is in one process, as it is with the others; the fewest modules that do the work.
package Bench::Contender::Httpd;
use v5.36;

use parent -norequire, 'Bench::Contender';

use constant {PROBE_PORT => 9, KEEP_ALIVE_SECONDS => 600, SPARE_FACTOR => 2};

my @modules = qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests);

sub _is_ours($self) { return $self->{name} ne 'stock' }

# --- what is in this build ------------------------------------------------------------------------

# What `httpd -t` says to a small configuration with that line: undef when it is content.
sub _objection($self, $line)
{
    my $t = $self->{t};
    my $httpd = $t->httpd(
        name => 'probe-' . ++$t->{contenders},
        start => 0,
        haproxy => 1,
        modules => \@modules,
        config => <<~"END",
            <Proxy "balancer://bench">
                BalancerMember "http://127.0.0.1:@{[PROBE_PORT]}" route=m001
            </Proxy>
            ProxyPass "/" "balancer://bench/"
            HABalancer bench
            $line
            END
    );
    my ($good, $said) = $httpd->check;
    return $good ? undef : $said =~ s/\s*\n\s*/ /gr;
}

# Each question is asked once: it takes an httpd to answer it.
sub _objection_once($self, $line)
{
    state %answers;
    $answers{$line} = [$self->_objection($line)] if !$answers{$line};
    return $answers{$line}[0];
}

# How the lane is demanded: in a way that refuses to start when the lane would not serve, if that
# is known here.
sub _lane_line($self)
{
    return 'HALane ' . ($self->_objection_once('HALane Require') ? 'On' : 'Require');
}

sub missing($self)
{
    return undef if !$self->_is_ours;
    my $path = HA::Test::module_path();
    return "$path is not built" if !-e $path;
    return undef if $self->{name} eq 'standard';
    my @needed = 'HALane On';
    push @needed, 'HAListen 127.0.0.1:' . PROBE_PORT if $self->{name} eq 'listen';
    for my $line (@needed) {
        my $why = $self->_objection_once($line) // next;
        my ($directive) = $line =~ /^(\w+)/;
        return 'lane is not in this build' if $why =~ /Invalid command '$directive'/;
        return "$line: $why";
    }
    return undef;
}

sub version($self)
{
    my ($httpd) = Bench::Contender::first_line(HA::Test::build_var('HTTPD') . ' -v') =~ m{/(\S+)};
    my $ours = HA::Test::build_var('PACKAGE_VERSION');
    return $self->_is_ours ? "$ours in httpd " . ($httpd // '?') : $httpd // '?';
}

# --- configuration --------------------------------------------------------------------------------

sub _mpm($self)
{
    my $threads = $self->{threads};
    my $factor = SPARE_FACTOR * (1 + int($self->{idle} / $threads));
    return <<~"END";
        StartServers 1
        ServerLimit 1
        ThreadLimit $threads
        ThreadsPerChild $threads
        MaxRequestWorkers $threads
        MinSpareThreads 1
        MaxSpareThreads $threads
        AsyncRequestWorkerFactor $factor
        ListenBackLog 4096
        END
}

sub _balancer($self)
{
    my ($members, $routes) = @$self{qw(members routes)};
    my $lines = join "\n    ",
        map {qq(BalancerMember "http://127.0.0.1:$members->[$_]" route=$routes->[$_])}
        0 .. $#$members;
    return <<~"END";
        <Proxy "balancer://bench">
            $lines
            ProxySet stickysession=zsessionid
        </Proxy>
        ProxyPass        "/" "balancer://bench/"
        ProxyPassReverse "/" "balancer://bench/"
        END
}

sub _ours($self)
{
    return '' if !$self->_is_ours;
    my $lane = $self->_objection_once('HALane Off') ? '' : 'HALane Off';
    return "HABalancer bench\n$lane\n" if $self->{name} eq 'standard';
    my $listen = $self->{name} eq 'listen' ? "HAListen 127.0.0.1:$self->{lane_port}\n" : '';
    return "HABalancer bench\n" . $self->_lane_line . "\n$listen";
}

sub _modules($self) { return @modules }

sub launch($self)
{
    my $t = $self->{t};
    $self->{lane_port} = $t->port;
    my $log = $self->{log} ? <<~'END' : '';
        LogFormat "%h %l %u %t \"%r\" %>s %b" common
        CustomLog "logs/access.log" common
        END
    $self->{httpd} = $t->httpd(
        name => $self->{folder},
        mpm => 'event',
        mpm_config => $self->_mpm,
        modules => [$self->_modules],
        haproxy => $self->_is_ours,
        log_level => 'notice',
        config => <<~"END",
            KeepAlive On
            MaxKeepAliveRequests 0
            KeepAliveTimeout @{[KEEP_ALIVE_SECONDS]}
            Timeout 600
            $log${\$self->_balancer}${\$self->_ours}
            END
    );
    $self->{pid} = $self->{httpd}->pid;
    $self->{port} = $self->{name} eq 'listen' ? $self->{lane_port} : $self->{httpd}->port;
    return;
}

sub stop($self)
{
    my $httpd = $self->{httpd};
    $httpd->stop if $httpd && $httpd->running;
    return;
}

1;
