# Net::SSH, which waits for its first channel without an end after `rekey!`, at sshd too.
require 'net/ssh'
require 'net/sftp'
require 'socket'
dir, echo = ENV['DIR'], ENV['ECHO'].to_i
open = ->(&then_) { Net::SSH.start('127.0.0.1', ENV['LOGIN'], port: ENV['PORT'].to_i, password: ENV['TOKEN'], config: false, verify_host_key: :never, use_agent: false, non_interactive: true, &then_) }
is = ->(got, wanted) { raise "#{got.inspect} is not #{wanted.inspect}" if got != wanted }
asked = ->(s, command, pty = false) {
  out, code = +'', nil
  s.open_channel do |c|
    c.request_pty(chars_wide: 123, chars_high: 45) if pty
    c.exec(command) { |c, ok| raise 'not run' unless ok }
    c.on_data { |_, data| out << data }
    c.on_request('exit-status') { |_, data| code = data.read_long }
  end
  s.loop
  [out, code]
}
sftp = ->(s) {
  up, there, back = %w[up net-ssh net-ssh.back].map { |n| "#{dir}/#{n}" }
  s.sftp.upload!(up, there)
  s.sftp.download!(there, back)
  [there, back].each { |copy| is.(File.binread(up) == File.binread(copy), true) }
}
cases = {
  'exec' => ->(s) { is.(asked.(s, 'echo out; exit 5'), ["out\n", 5]) },
  'pty' => ->(s) { is.(asked.(s, 'stty size; tty', true)[0].start_with?("45 123\r\n/dev/pts/"), true) },
  'sftp' => sftp,
  'forward' => ->(s) {
    got = nil
    port = s.forward.local(0, '127.0.0.1', echo)
    asks = Thread.new { t = TCPSocket.new('127.0.0.1', port); t.write('ping'); got = t.read(4); t.close }
    s.loop(0.05) { asks.alive? }
    is.(got, 'ping')
  },
}
cases.each do |name, run|
  open.() { |s| run.(s) }
  puts "#{name} ok"
rescue StandardError => e
  puts "#{name} failed: #{e.inspect}"
end
