# SPDX-License-Identifier: Apache-2.0
# Owns the configuration of balancers and their mounts, as tests of load and faults need it. Does not
# own the servers: that is HA::Httpd.
package HA::Mount;
use v5.36;

use Exporter qw(import);
our @EXPORT_OK = qw(balancer children bound faster one_child);

# A balancer of these instances, mounted at /NAME. Options: ours and check are the arguments of
# HABalancer and HACheck (check => undef: none); set is for ProxySet.
sub balancer($name, $apps, %opt)
{
    my @members = map {sprintf 'BalancerMember "%s" route=%s', $_->url, $_->name} @$apps;
    my $check = exists $opt{check} ? $opt{check} : 'interval=100ms';
    return join "\n", qq(<Proxy "balancer://$name">), @members,
        'ProxySet stickysession=zsessionid ' . ($opt{set} // ''), '</Proxy>',
        "HABalancer $name " . ($opt{ours} // ''),
        defined $check ? "HACheck $name uri=/App/health $check" : (),
        qq(ProxyPass "/$name" "balancer://$name/App"), qq(ProxyPassReverse "/$name" "balancer://$name/App"),
        '';
}

# So many children of so many threads, and no more: mpm_config of event and worker.
sub children($n, $threads)
{
    my $all = $n * $threads;
    return <<~"CONFIG";
        StartServers $n
        ServerLimit 16
        ThreadLimit $threads
        ThreadsPerChild $threads
        MaxRequestWorkers $all
        MinSpareThreads 1
        MaxSpareThreads $all
        CONFIG
}

# One child, whatever happens, so that all that is kept is in one place.
sub one_child($threads)
{
    return children(1, $threads) =~ s/ServerLimit 16/ServerLimit 1/r;
}

# Headers of a session that is bound to a route, for a request.
sub bound($route)
{
    return (headers => {Cookie => "zsessionid=session1.$route"});
}

# The first number, or the second one in a build with sanitizers, where all takes several times as
# long.
sub faster($fast, $slow)
{
    return HA::Test::sanitizers() ? $slow : $fast;
}

1;
