#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Owns the story of the demo: what it starts, shows and expects. Does not build anything: that is
# tools/demo, which starts this with the test harness in t/lib.
use v5.36;

use Time::HiRes qw(sleep time);

use HA::Memcached;
use HA::Test ();
use HA::Zone qw(cart);

use constant {RATE => 50, MOST_REQUESTS => 6000, SHARE => 100, RESTART_SECONDS => 5};

my $once = "@ARGV" eq '--once';
my $zero = HA::Test::top_builddir() . '/zero';
my ($t, $proxy, $load, %app, %shop, @memcached, @failed, $signal, $ended);

# --- telling --------------------------------------------------------------------------------------

# A signal may have come where nobody looked at how that ended.
sub narrate($text = '')
{
    die "stopped by SIG$signal\n" if $signal && !$ended;
    print "$text\n";
    return;
}

sub show($text)
{
    narrate("    $_") for split /\n/, $text;
    return;
}

# A step of the story, and whether it came out.
sub step($ok, $text)
{
    narrate(($ok ? '  ok      ' : '  FAILED  ') . $text);
    push @failed, $text if !$ok;
    return;
}

# Waits for a log line of a member and shows it.
sub step_log($pattern)
{
    my $from = time;
    my $line = eval { $t->wait_for($pattern) };
    die $@ if $signal;
    return step(0, "the log never said $pattern") if !$line;
    my $transition = $line =~ s/^.*?(?=member )//r;
    return step(1, sprintf 'after %.1f s the log says: %s', time - $from, $transition);
}

# What httpd's log says at its start of who carries the requests.
sub step_verdict($name)
{
    my $line = eval { $t->wait_for(qr{$name: /$name: (?:in the lane|on the standard path, .*)$}) };
    die $@ if $signal;
    return step(0, "the log never said who carries /$name") if !$line;
    my ($verdict) = $line =~ m{($name: /$name: .*)};
    my $carried = $verdict =~ /in the lane$/ ? 1 : 0;
    return step($carried, "the log says who carries the requests: $verdict");
}

# --- the command line, as an operator uses it -----------------------------------------------------

# Runs a command in a folder and shows it. Dies when it refuses: there is no story without it.
sub run($place, $dir, $program, @args)
{
    my ($name) = $program =~ m{([^/]+)$};
    narrate("  $place\$ $name @args");
    my $script = 'cd "$1" && shift && exec "$@" 2>&1';
    open(my $out, '-|', 'sh', '-c', $script, 'sh', $dir, $program, @args) or die "sh: $!\n";
    show($_) while <$out>;
    return if close $out;
    step(0, "$name @args[0, 1] ended with " . ($? >> 8));
    die "the story ends here\n";
}

sub zero($place, $dir, @args)
{
    return run($place, $dir, $zero, @args);
}

# The folder of an instance, with the configuration that generate reads.
sub describe($instance, $application)
{
    my $name = $instance->name;
    my $dir = $t->dir("$name/$application");
    mkdir $_ or die "$_: $!\n" for $t->dir($name), $dir, "$dir/config";
    $t->write_file("$dir/config/zero.config", <<~"END");
        /config/name = "$application"
        /config/http/ipAddress = "127.0.0.1"
        /config/http/port = ${\$instance->port}
        /config/contextRoot = "/$application"
        /config/apacheRouteID = "$name"
        /config/health = "/$application/health"
        END
    return $dir;
}

# What generate makes of it is a file of the proxy's then.
sub generate($instance, $dir)
{
    my $name = $instance->name;
    zero($name, $dir, 'modproxy', 'generate', "-o=$name.conf");
    my $text = HA::Log->new("$dir/$name.conf")->text;
    $t->write_file("$name.conf", $text);
    return step($text =~ /^# route: $name$/m, "$name.conf is there and has the route $name");
}

sub generate_both
{
    narrate('Two instances of an application run on this machine. Each describes itself:');
    for my $name (qw(hostA hostB)) {
        $app{$name} = $t->app($name, health => '/App/health');
        my $dir = describe($app{$name}, 'App');
        narrate();
        narrate("  $name\$ cat config/zero.config");
        show(HA::Log->new("$dir/config/zero.config")->text);
        generate($app{$name}, $dir);
    }
    return;
}

sub merge
{
    narrate();
    narrate('The two files are copied to the proxy and joined there:');
    narrate();
    zero('proxy', $t->dir, qw(modproxy merge -balancer -o=App.conf hostA.conf hostB.conf));
    narrate('  proxy$ cat App.conf');
    my $text = HA::Log->new($t->dir('App.conf'))->text;
    show($text);
    step(2 == (() = $text =~ /^ +BalancerMember /mg), 'App.conf has one balancer of two members');
    check('App.conf');
    return;
}

sub check($file)
{
    my @module = HA::Test::sanitizers() ? () : '-module=' . HA::Test::module_path();
    return zero('proxy', $t->dir, qw(modproxy check), @module, $file);
}

# --- the first act: an instance is lost -----------------------------------------------------------

# What apache2 is told.
sub configuration(@files)
{
    my $includes = join "\n", map {qq(Include "${\$t->dir($_)}")} @files;
    return <<~"END";
        $includes
        <Location "/ha-health">
            SetHandler ha-health
        </Location>
        END
}

sub start_proxy
{
    narrate();
    narrate('apache2 starts with `Include App.conf`:');
    narrate();
    $proxy = $t->httpd(
        haproxy => 1,
        modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests)],
        config => configuration('App.conf'),
    );
    narrate('  its configuration is ' . $proxy->conf);
    step_verdict('App');
    step_log(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
    return;
}

# "hostA 3": who answered, and the how many-th visit of the session it was.
sub visit($browser)
{
    my $response = $browser->get('/App/');
    return $response->body =~ /^(\w+) visits=(\d+) / ? "$1 $2" : 'status ' . $response->status;
}

sub visits_in_sessions
{
    narrate();
    narrate('Four browsers visit five times each. An instance counts the visits in its memory:');
    narrate();
    my (%browser, %seen);
    for my $n (1 .. 4) {
        my $browser = $t->client;
        my @visits = map {visit($browser)} 1 .. 5;
        my ($name) = $visits[0] =~ /^(\w+) /;
        my $same = "@visits" eq join ' ', map {"$name $_"} 1 .. 5;
        step($same, "browser $n: " . join ', ', @visits);
        $browser{$name} = $browser;
        $seen{$name}++;
    }
    my $even = ($seen{hostA} // 0) == 2 && ($seen{hostB} // 0) == 2;
    step($even, 'each instance has two of the four sessions');
    die "there is no session on hostA to go on with\n" if !$browser{hostA};
    return $browser{hostA};
}

# How many of the next requests of the load the instances see.
sub share
{
    my @running = grep {$_->running} values %app;
    $_->ledger_clear for @running;
    $load->wait_progress($load->progress + SHARE);
    return {map {$_->name => scalar(() = $_->ledger)} @running};
}

sub lose_an_instance($browser)
{
    my $pid = $app{hostA}->pid;
    narrate();
    narrate('From now on there are ' . RATE . ' requests a second besides. hostA is killed:');
    narrate();
    $load = $t->load(rate => RATE, count => MOST_REQUESTS);
    $load->wait_progress(RATE);
    narrate("  \$ kill -9 $pid");
    # Whatever it is working on: the lane asks the other one again, as GET does no harm twice.
    $app{hostA}->kill;
    step_log(qr/member hostA: up -> down/);
    my $count = share();
    step($count->{hostB} >= SHARE - 5, "hostB alone answers the next $count->{hostB} requests");
    my $visit = visit($browser);
    step($visit eq 'hostB 1', "the browser that was on hostA goes on: $visit (a new memory)");
    $visit = visit($browser);
    step($visit eq 'hostB 2', "and stays there: $visit");
    return;
}

sub get_it_back($browser)
{
    narrate();
    narrate('hostA is started again:');
    narrate();
    $app{hostA}->start;
    step_log(qr/member hostA: down -> up/);
    my $count = share();
    my $all = $count->{hostA} + $count->{hostB};
    my $even = abs($count->{hostA} - $count->{hostB}) <= 0.2 * $all;
    step($even, "of the next $all requests hostA has $count->{hostA}, hostB $count->{hostB}");
    my $visit = visit($browser);
    step($visit eq 'hostB 3', "the session that moved to hostB is not moved again: $visit");
    return;
}

sub count_requests
{
    $load->finish;
    my $sum = $load->wait;
    narrate();
    step(!$sum->{failed}, "$sum->{sent} requests were sent all the while, $sum->{failed} failed");
    show($_) for @{$sum->{failures}};
    return;
}

sub first_act
{
    generate_both();
    merge();
    start_proxy();
    my $browser = visits_in_sessions();
    lose_an_instance($browser);
    get_it_back($browser);
    count_requests();
    return;
}

# --- the second act: what was in its memory is not ------------------------------------------------

sub open_shop
{
    narrate();
    narrate('Second act. The browser went on, but hostB knew nothing of its earlier visits: they were in the');
    narrate('memory of hostA. Here are two instances of a shop. Each sends what is in a shopping cart to the');
    narrate('proxy along with its answers, and the proxy keeps it in two memcached, which start now:');
    narrate();
    for my $name (qw(shopA shopB)) {
        $shop{$name} = $t->app($name, context => '/Shop', health => '/Shop/health', zones => 1);
        generate($shop{$name}, describe($shop{$name}, 'Shop'));
    }
    @memcached = map { HA::Memcached->new($t, "memcached$_") } 1, 2;
    narrate('  memcached listens on ' . $_->address) for @memcached;
    return;
}

# A key that only the proxies have: memcached is not to know what it keeps.
sub merge_with_zones
{
    my $store = 'memcached:' . join ',', map {$_->address} @memcached;
    my $key = $t->dir('zone.key');
    narrate();
    narrate('What is kept there is sealed with a key, which is made on the proxy:');
    narrate();
    run('proxy', $t->dir, qw(openssl rand -hex -out zone.key 32));
    run('proxy', $t->dir, qw(chmod 600 zone.key));
    zero('proxy', $t->dir, qw(modproxy merge -balancer -zones=USER), "-store=$store", "-key=$key",
        qw(-o=Shop.conf shopA.conf shopB.conf));
    narrate('  proxy$ grep HAZone Shop.conf');
    my ($line) = HA::Log->new($t->dir('Shop.conf'))->text =~ /^ *(HAZone .*)$/m;
    show($line // '');
    step(!!$line, 'Shop.conf says that sessions are kept, and where');
    check('Shop.conf');
    return;
}

sub reload_proxy
{
    narrate();
    narrate('apache2 gets `Include Shop.conf` too, and is reloaded:');
    narrate();
    $proxy->write_config(configuration('App.conf', 'Shop.conf'));
    $proxy->graceful;
    step_verdict('Shop');
    step_log(qr/Shop: member $_: unknown -> up/) for qw(shopA shopB);
    return;
}

# One more thing in the cart of a browser. Whether it has all of these then, at an instance.
sub buys($browser, $what, $name, $items)
{
    my $cart = cart($browser, "/Shop/cart?add=$what");
    my $said = ($cart->{instance} // 'status ' . $cart->{status}) . ' has ' . ($cart->{items} // 'nothing');
    step($said eq "$name has $items", "the browser buys $what: $said");
    return $cart;
}

sub kill_shop($name)
{
    narrate();
    narrate("  \$ kill -9 @{[$shop{$name}->pid]}    # $name");
    $shop{$name}->kill;
    return;
}

sub start_shop($name)
{
    step_log(qr/Shop: member $name: up -> down/);
    $shop{$name}->start;
    return step_log(qr/Shop: member $name: down -> up/);
}

sub fill_a_cart
{
    narrate();
    narrate('A browser fills its cart, and the instance that has it is killed in the middle of that:');
    narrate();
    my $browser = $t->client;
    my $first = cart($browser, '/Shop/cart?add=tea');
    my $name = $first->{instance};
    my ($other) = grep {$_ ne ($name // '')} sort keys %shop;
    step($name && $first->{items} eq 'tea', 'the browser buys tea: ' . ($name // 'nobody') . ' has tea');
    die "there is no cart to go on with\n" if !$name;
    buys($browser, 'milk', $name, 'tea,milk');
    kill_shop($name);
    my $cart = buys($browser, 'sugar', $other, 'tea,milk,sugar');
    step(($cart->{session} // '') eq $first->{session}, 'it is the same session, and nothing is missing');
    return ($browser, $name, $other);
}

sub lose_a_memcached($browser, $lost, $left)
{
    my $node = $memcached[0];
    narrate();
    narrate("$lost is started again, with an empty memory, and one of the two memcached is killed:");
    narrate();
    start_shop($lost);
    narrate("  \$ kill -9 @{[$node->pid]}    # memcached on @{[$node->address]}");
    $node->kill;
    buys($browser, 'lemon', $left, 'tea,milk,sugar,lemon');
    narrate();
    narrate('So is the instance that has the cart now. What is left of it is in the other memcached:');
    kill_shop($left);
    buys($browser, 'rum', $lost, 'tea,milk,sugar,lemon,rum');
    return;
}

sub mend_all($name)
{
    narrate();
    narrate("$name and the memcached are started again.");
    narrate();
    $memcached[0]->start;
    start_shop($name);
    return;
}

sub second_act
{
    open_shop();
    merge_with_zones();
    reload_proxy();
    my ($browser, $lost, $left) = fill_a_cart();
    lose_a_memcached($browser, $lost, $left);
    mend_all($left);
    return;
}

# --- after the story ------------------------------------------------------------------------------

# What is new in the log about members.
sub show_transitions
{
    my $line;
    narrate('  log     ' . $line =~ s/^.*?(?=member )//r)
        while defined($line = $proxy->log->take(qr/member \w+: /));
    return;
}

# Instances that somebody kills are started again after a while.
sub keep_running
{
    narrate();
    narrate('All this keeps running now:');
    narrate('  ' . $proxy->url('/App/') . '   the application');
    narrate('  ' . $proxy->url('/Shop/cart?add=tea') . '   the shop');
    narrate('  ' . $proxy->url('/ha-health/App') . '   how many instances are usable');
    my %all = (%app, %shop);
    narrate("  $_ has pid " . $all{$_}->pid . ': kill it, and reload the page') for sort keys %all;
    narrate('Ctrl-C ends it.');
    narrate();
    $t->mark;
    my %back_at;
    while (1) {
        show_transitions();
        for my $name (grep {!$all{$_}->running} sort keys %all) {
            narrate("  $name has ended, it starts again in @{[RESTART_SECONDS]} seconds")
                if !$back_at{$name};
            $back_at{$name} ||= time + RESTART_SECONDS;
            next if time < $back_at{$name};
            $all{$name}->start;
            narrate("  $name has started, with pid " . $all{$name}->pid);
            delete $back_at{$name};
        }
        sleep 0.2;
    }
    return;
}

# Stops what was started, first to last, and takes the folder away.
sub clean_up
{
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP PIPE);
    $ended = 1;
    narrate();
    narrate('Stopping apache2, the instances and memcached ...');
    $t->expect_log(qr/^/);
    $t->stop_all;
    my @left = grep {/left process|did not end/} $t->problems;
    $t->remove;
    step(!@left, @left ? "stopped, but: @left" : 'nothing is left running');
    return;
}

STDOUT->autoflush;
$t = HA::Test->new(keep => 0);
for my $name (qw(INT TERM HUP PIPE)) {
    $SIG{$name} = sub ($got) { $signal = $got; die "stopped by SIG$got\n" };
}
my $came_to_end = eval { first_act(); second_act(); 1 };
print "  FAILED  $@" if !$came_to_end && !$signal;
push @failed, $signal ? "SIG$signal came before the end" : 'the story did not reach its end'
    if !$came_to_end;
eval { keep_running() } if $came_to_end && !$once && !@failed;
clean_up();
narrate();
if (@failed) {
    narrate('These steps did not come out:');
    show($_) for @failed;
} else {
    narrate('Every step came out.');
}
exit(!@failed ? 0 : $signal ? 128 + {HUP => 1, INT => 2, PIPE => 13, TERM => 15}->{$signal} : 1);
